//! What a user sees who wrote something wrong: the exact messages, one table.
#![allow(clippy::unwrap_used, reason = "tests")]

use mdmstorm::scenario::{Changes, Colour, Scenario};

const HEAD: &str = "name = \"test\"\n[target.embedded]\n";
const COHORT: &str = "[[cohorts]]\nname = \"carts\"\ncount = 10\n";

/// A scenario that is right, with `more` behind it.
fn with(more: &str) -> String {
    format!("{HEAD}{COHORT}{more}")
}

fn stage(command: &str) -> String {
    with(&format!(
        "[[stages]]\nname = \"push\"\nduration = \"10s\"\ncommands = [\n  {command}\n]\n"
    ))
}

fn cohort(lines: &str) -> String {
    format!("{HEAD}[[cohorts]]\nname = \"carts\"\n{lines}")
}

fn target(lines: &str) -> String {
    format!("name = \"test\"\n{lines}\n{COHORT}")
}

fn threshold(lines: &str) -> String {
    with(&format!("[[thresholds]]\n{lines}\n"))
}

fn event(lines: &str) -> String {
    with(&format!("[[timeline]]\nat = \"1s\"\n{lines}\n"))
}

fn faults(lines: &str) -> String {
    with(&format!("[[apns.faults]]\n{lines}\n"))
}

fn micromdm(rest: &str) -> String {
    let key = "api-key = { env = \"MICROMDM_API_KEY\" }";
    format!("[target.micromdm]\nurl = \"http://127.0.0.1\"\n{key}\n{rest}")
}

/// iPads with users, one of whom is to be commanded.
const SHARED: &str = "[[cohorts]]\nname = \"shared\"\ncount = 1\nusers = 2\n[[stages]]\n\
     name = \"ask\"\nduration = \"1s\"\ncommands = [\n  { request = \"ProfileList\", \
     channel = \"user\", to = \"shared\", each = 1 },\n]\n";

const PROVIDER_KEY: &str =
    "[[apns.provider-keys]]\nkey-id = \"K\"\nteam-id = \"T\"\npublic-key = \"k.pem\"\n";

fn expect(lines: &str) -> String {
    with(&format!("[[expect]]\n{lines}\n"))
}

#[expect(clippy::too_many_lines, reason = "a table: one entry for each mistake")]
fn cases() -> Vec<(&'static str, String)> {
    let info = |rest: &str| stage(&format!("{{ request = \"DeviceInformation\", {rest} }},"));
    vec![
        ("no toml", "name = \"test\nseed = = 3\n".to_owned()),
        ("an empty file", String::new()),
        ("an unknown key", cohort("cuont = 10\ncount = 10\n")),
        ("an unknown key far from all others", with("[weather]\n")),
        ("a wrong type", cohort("count = \"ten\"\n")),
        ("a table where text belongs", "name = { a = 1 }\n".to_owned() + &with("")[14..]),
        ("a duration without unit", with("[[stages]]\nname = \"push\"\nduration = 30\n")),
        ("a duration in quotes without unit", with("[[stages]]\nname = \"push\"\nduration = \"30\"\n")),
        ("a negative rate", info("rate = \"-5/s\"")),
        ("a rate without unit", info("rate = 50")),
        ("no devices", cohort("count = 0\n")),
        ("a probability above 1", cohort("count = 1\nnot-now = { probability = 1.5, for = \"5s\" }\n")),
        ("an unknown cohort in a command", info("to = \"cart\", each = 1")),
        ("an unknown cohort in an event", with("[[timeline]]\nat = \"5m\"\nto = \"libary\"\ndo = \"sleep\"\n")),
        ("two cohorts of one name", with(COHORT)),
        ("an unknown preset", cohort("count = 1\npreset = \"cart-ipads\"\n")),
        ("an unknown model", cohort("count = 1\nmodel = \"iPad12,2\"\n")),
        ("an unknown version", cohort("count = 1\nos = \"18.9\"\n")),
        ("an unknown request type", stage("{ request = \"DeviceInfo\", each = 1 },")),
        ("a request without its payload", stage("{ request = \"InstallProfile\", each = 1 },")),
        ("a request without a required key", stage("{ request = \"RemoveProfile\", each = 1 },")),
        ("a command that says neither how often nor what", stage("{ serial = true },")),
        ("a command with two sources", stage("{ request = \"ProfileList\", file = \"a.plist\", each = 1 },")),
        ("both rate and each", info("rate = \"1/s\", each = 1")),
        ("far too many orders", info("each = 1_000_000_000")),
        ("far too many changes", cohort("count = 9_000_000\n[[timeline]]\nat = \"5m\"\ndo = \"move-to-hotspot\"\n")),
        ("an unknown metric", threshold("metric = \"push-to-complete p99\"\nbelow = \"30s\"")),
        ("a threshold on an unknown cohort", threshold("metric = \"wake{cohort=cards} p99\"\nbelow = \"30s\"")),
        ("a latency limit without unit", threshold("metric = \"wake p99\"\nbelow = 30")),
        ("a latency without aggregate", threshold("metric = \"wake\"\nbelow = \"30s\"")),
        ("a count with a duration", threshold("metric = \"pending\"\nbelow = \"30s\"")),
        ("a threshold without limit", threshold("metric = \"pending\"")),
        ("a range that runs backwards", cohort("count = 1\nwake-delay = \"5s..1s\"\n")),
        ("a p95 below its median", cohort("count = 1\nwake-delay = { lognormal = { median = \"5s\", p95 = \"1s\" } }\n")),
        ("a sleep without half of it", cohort("count = 1\nsleep = { asleep = \"5s\" }\n")),
        ("a beginning without its time", "starts = \"mon\"\n".to_owned() + &with("")),
        ("a beginning on no day", "starts = \"someday 07:30\"\n".to_owned() + &with("")),
        ("more users than there may be", cohort("count = 1\nmodel = \"Mac14,2\"\nusers = 5\n")),
        ("users of a device that has none", cohort("count = 1\npreset = \"iphone\"\nusers = 1\n")),
        ("an offset without its sign", cohort("count = 1\nutc-offset = \"2h\"\n")),
        ("an offset that no place has", cohort("count = 1\nutc-offset = \"+15h\"\n")),
        ("a section of Macs for iPads", cohort("count = 1\nmac = { keychain-locked = 0.5 }\n")),
        ("an unknown moment to poll", cohort("count = 1\npoll-on = [\"boot\", \"sunrise\"]\n")),
        ("a time of day that is none", cohort("count = 1\nsleep = { daily = [\"22:00..25:00\"] }\n")),
        ("a time of day that is empty", cohort("count = 1\nsleep = { daily = [\"22:00..22:00\"] }\n")),
        ("no time of day at all", cohort("count = 1\nsleep = { daily = [] }\n")),
        ("an unknown day", cohort("count = 1\nsleep = { daily = [\"22:00..07:00\"], days = [\"mo\"] }\n")),
        ("times of day and turns", cohort("count = 1\nsleep = { daily = [\"22:00..07:00\"], asleep = \"5s\" }\n")),
        ("days without times of day", cohort("count = 1\nsleep = { asleep = \"5s\", awake = \"5s\", days = \"weekdays\" }\n")),
        ("a rhythm that is neither share nor table", cohort("count = 1\nagent = { stopped = \"often\" }\n")),
        ("half of a rhythm in a section", cohort("count = 1\nagent = { throttled = { for = \"5m\" } }\n")),
        ("a share behind an open port", cohort("count = 1\nlink = { push = \"open\", share-blocked = 0.5 }\n")),
        ("a port that is neither open nor blocked", cohort("count = 1\nlink = { push = \"block\" }\n")),
        ("a keep-alive without its NAT", cohort("count = 1\nlink = { keep-alive = \"10m\" }\n")),
        ("more requests lost than there are", cohort("count = 1\nlink = { loss = 0.6, cut-before = 0.5 }\n")),
        ("a wrong clock that is not wrong", cohort("count = 1\nclock = { share = 0.5 }\n")),
        ("a drift beyond all clocks", cohort("count = 1\nclock = { drift-ppm = 1e9 }\n")),
        ("a push that wakes neither never nor at some time", cohort("count = 1\nwoken-by-push = \"always\"\n")),
        ("two rules of one name", cohort("count = 1\nnot-now = { name = \"a\", probability = 1 }\nfailures = { name = \"a\", probability = 1, code = 12064 }\n")),
        ("a failure without its code", cohort("count = 1\nfailures = { probability = 1 }\n")),
        ("too many rules", cohort(&format!("count = 1\nnot-now = [{}]\n", "{ probability = 0.1 },".repeat(33)))),
        ("an unknown way to break the protocol", cohort("count = 1\nmisbehaves = { probability = 1, do = \"duplicates\" }\n")),
        ("a late result without unit", cohort("count = 1\nmisbehaves = { probability = 1, do = { late = 10 } }\n")),
        ("an unknown event", event("do = \"go-ofline\"")),
        ("an event that no other is near", event("do = \"dance\"")),
        ("an event with a key of another", event("do = \"wake\"\nahead = \"+5m\"")),
        ("an event for all with a cohort", event("do = \"renew-push-certificate\"\nto = \"carts\"")),
        ("a clock that is set to nothing", event("do = \"set-clock\"")),
        ("lost pushes without their share", event("do = \"lose-pushes\"")),
        ("the end of a rule that is not there", event("do = \"end-rule\"\nrule = \"busy\"")),
        ("the end of a rule with another name", with("not-now = { name = \"exam\", probability = 1 }\n[[timeline]]\nat = \"1s\"\ndo = \"end-rule\"\nrule = \"exams\"\n")),
        ("the end of a rule of one cohort for all", with("[[cohorts]]\nname = \"macs\"\ncount = 1\n[[timeline]]\nat = \"1s\"\ndo = \"end-rule\"\nrule = \"exam\"\n")),
        ("a second order of an unknown stage", info("each = 1") + "[[timeline]]\nat = \"1s\"\ndo = \"reissue\"\nstage = \"pull\"\n"),
        ("a second order of what is not ordered", info("each = 1") + "[[timeline]]\nat = \"1s\"\ndo = \"reissue\"\nrequest = \"ProfileList\"\n"),
        ("an unknown channel", info("channel = \"users\", each = 1")),
        ("users' channels of devices without users", info("channel = \"user\", each = 1")),
        ("an expectation of nothing", expect("cohort = \"carts\"")),
        ("an expectation of two things", expect("pending = 0\ncompleted = \"100%\"")),
        ("an expectation that runs backwards", expect("pending = \"60..40\"")),
        ("an expectation beyond all orders", expect("completed = \"110%\"")),
        ("an expectation of an unknown cohort", expect("cohort = \"cards\"\npending = 0")),
        ("an expectation at no time", expect("pending = 0\nat = \"noon\"")),
        ("a cause of what is not pending", expect("completed = \"100%\"\ncause = \"device-asleep\"")),
        ("a code of what did not fail", expect("pending = 3\ncode = 12064")),
        ("no target", format!("name = \"test\"\n{COHORT}")),
        ("two targets", target("[target.embedded]\n[target.observe]\nurl = \"http://127.0.0.1\"\n")),
        ("an unknown target", target("[target.nanomdn]\nurl = \"http://127.0.0.1\"\n")),
        ("an unknown defect", target("[target.embedded]\ndefects = [\"slow-queries\", \"not-now-spin\"]\n")),
        ("an unknown rule for network users", target("[target.embedded]\nnetwork-users = \"digests\"\n")),
        ("a secret in the file", target("[target.nanomdm]\nurl = \"http://127.0.0.1\"\napi-key = \"hunter2\"\n")),
        ("a url without scheme", target("[target.observe]\nurl = \"mdm.example.com\"\n")),
        ("a password in a url", target("[target.observe]\nurl = \"https://a:b@mdm.example.com\"\n")),
        ("mtls without https", target("[target.observe]\nurl = \"http://127.0.0.1\"\n[enrollment.issued]\nidentity = \"mtls\"\n")),
        ("identities that MicroMDM does not take", target(&micromdm(""))),
        ("a proof that MicroMDM does not take", target(&micromdm("[enrollment.profile]\nurl = \"/mdm/enroll\"\n[enrollment.identity]\nproof = \"header\"\n"))),
        ("users that MicroMDM cannot tell apart", target(&micromdm(&format!("[enrollment.profile]\nurl = \"/mdm/enroll\"\n{SHARED}")))),
        ("a certificate without its key", with("[enrollment.issued]\nca = \"ca.pem\"\n")),
        ("a header that nothing travels in", with("[enrollment.identity]\nheader = \"X-Cert\"\n")),
        ("an encoding without its header", with("[enrollment.identity]\nproof = \"mtls\"\nencoding = \"url-pem\"\n")),
        ("an encoding beside the older key", with("[enrollment.issued]\nidentity = \"header\"\n[enrollment.identity]\nheader = \"X\"\nencoding = \"url-pem\"\n")),
        ("two authorities", with("[enrollment.issued]\nca = \"a.pem\"\nca-key = \"a.key\"\n[enrollment.identity]\nca = \"b.pem\"\nca-key = \"b.key\"\n")),
        ("a proof that is named twice", with("[enrollment.issued]\nidentity = \"mtls\"\n[enrollment.identity]\nproof = \"mtls\"\n")),
        ("mtls without https, in the newer place", target("[target.observe]\nurl = \"http://127.0.0.1\"\n[enrollment.identity]\nproof = \"mtls\"\n")),
        ("two ways to enrol", with("[enrollment.profile]\n[enrollment.scep]\n")),
        ("an unknown way to enrol", with("[enrollment.scpe]\n")),
        ("a profile from nowhere", target("[target.observe]\nurl = \"https://127.0.0.1\"\n[enrollment.profile]\n")),
        ("a profile from two places", with("[enrollment.profile]\nfile = \"a.mobileconfig\"\nurl = \"/enroll\"\n")),
        ("one file for each device", with("[enrollment.profile]\nfile = \"a.mobileconfig\"\neach-device = true\n")),
        ("one profile at many URLs", with("[enrollment.profile]\nurl = \"/enroll/{udid}\"\n")),
        ("a profile at no URL", with("[enrollment.profile]\nurl = \"mdm.example.com/enroll\"\n")),
        ("a subject without value", with("[enrollment.scep]\nsubject = \"O=Example/CN\"\n")),
        ("a subject of an unknown attribute", with("[enrollment.scep]\nsubject = \"NAME=a\"\n")),
        ("a key size in between", with("[enrollment.scep]\nkey-size = 3072\n")),
        ("a key size of old", with("[enrollment.scep]\nkey-size = 1024\n")),
        ("a fingerprint cut short", with("[enrollment.scep]\nfingerprint = \"AA:BB\"\n")),
        ("a challenge in the file", with("[enrollment.scep]\nchallenge = \"hunter2\"\n")),
        ("an unknown kind of key", with("[enrollment.acme]\nkey = \"ec256\"\n")),
        ("an account without domain", with("[enrollment.account-driven]\naccount = \"anna\"\n")),
        ("an account-driven enrolment without token", target("[target.observe]\nurl = \"https://127.0.0.1\"\n[enrollment.account-driven]\naccount = \"anna@example.com\"\n")),
        ("a rewrite of what is no URL", with("[enrollment.rewrite]\n\"mdm.example.com\" = \"http://127.0.0.1\"\n")),
        ("a rewrite to what is no URL", with("[enrollment.rewrite]\n\"https://mdm.example.com\" = \"127.0.0.1\"\n")),
        ("a vouching certificate without its key", with("[enrollment.identity]\nca = \"ca.pem\"\n")),
        ("a fault without its time", faults("fault = \"delay\"")),
        ("a key of another fault", faults("fault = \"drop\"\nby = \"5s\"\nreason = \"Shutdown\"")),
        ("an unknown fault", faults("fault = \"hnag\"")),
        ("an unknown reason", faults("fault = \"answer\"\nreason = \"TooManyRequest\"")),
        ("an answer that says nothing", faults("fault = \"answer\"")),
        ("a status that ends nothing", faults("fault = \"garble\"\nstatus = 100")),
        ("a status beyond all", faults("fault = \"garble\"\nstatus = 600")),
        ("a fault for a share and one push", faults("fault = \"hang\"\nshare = 0.5\nnth = 3")),
        ("a fault for an unknown cohort", faults("fault = \"hang\"\nto = \"cats\"")),
        ("a push rate without its span", with("[apns]\nrate = \"5\"\n")),
        ("a host without its port", with("[apns]\nallow-hosts = [\"mdm.example.com\"]\n")),
        ("no streams", with("[apns]\nstreams = 0\n")),
        ("too many streams", with("[apns]\nstreams = 4097\n")),
        ("too many streams from a time on", with("[[timeline]]\nat = \"1s\"\ndo = \"limit-streams\"\nstreams = 5000\n")),
        ("a provider key without its file", with("[[apns.provider-keys]]\nkey-id = \"K\"\nteam-id = \"T\"\n")),
        ("two provider keys of one name", with(&PROVIDER_KEY.repeat(2))),
        ("an event with a fault that lacks its time", event("do = \"fault-pushes\"\nfault = \"slow\"")),
        ("an event without its fault", event("do = \"fault-pushes\"")),
        ("a fault key on another event", event("do = \"heal-pushes\"\nfault = \"drop\"")),
        ("an event without its streams", event("do = \"limit-streams\"")),
        ("an event with a wrong rate", event("do = \"throttle-pushes\"\nrate = \"often\"")),
        ("two errors at once", "name = \"test\"\ntime-scale = -1\n[target.embedded]\n[[cohorts]]\nname = \"carts\"\ncount = 0\n".to_owned()),
    ]
}

#[test]
fn each_mistake_has_its_place_and_what_would_be_right() {
    let mut text = String::new();
    for (what, scenario) in cases() {
        let errors = Scenario::parse(&scenario, "test.toml").expect_err(what);
        assert!(!errors.errors().is_empty(), "{what}");
        text += &format!("# {what}\n{errors}\n\n");
    }
    golden("scenario_errors", &text);
}

#[test]
fn a_mistake_in_an_option_points_into_the_option() {
    let mut text = String::new();
    let sets = [
        "cohorts.carts.count=0",
        "cohorts.carts.cuont=5",
        "cohorts.cards.count=5",
        "cohorts.carts=5",
        "tme-scale=10",
        "time-scale",
        "seed.x=1",
        "stages.push.duration=5",
    ];
    let scenario = with("[[stages]]\nname = \"push\"\nduration = \"10s\"\n");
    for set in sets {
        let changes = Changes {
            sets: vec![set.to_owned()],
            only: None,
        };
        let errors = Scenario::parse_with(&scenario, "test.toml", &changes).expect_err(set);
        text += &format!("{errors}\n\n");
    }
    let changes = Changes {
        sets: Vec::new(),
        only: Some("cards".to_owned()),
    };
    let errors = Scenario::parse_with(&scenario, "test.toml", &changes).unwrap_err();
    text += &format!("{errors}\n");
    golden("set_errors", &text);
}

#[test]
fn all_errors_come_at_once_in_the_order_of_the_file() {
    let (_, scenario) = cases().pop().unwrap();
    let errors = Scenario::parse(&scenario, "test.toml").unwrap_err();
    let places: Vec<_> = errors.errors().iter().map(|e| (e.line, e.column)).collect();
    assert_eq!(places, [(2, 14), (6, 9)]);
    assert!(errors.render(Colour::With).contains('\u{1b}'));
    assert!(!errors.render(Colour::Without).contains('\u{1b}'));
}

#[test]
fn a_secret_is_never_repeated() {
    let scenario =
        target("[target.nanomdm]\nurl = \"http://me:hunter2@127.0.0.1\"\napi-key = \"hunter2\"\n");
    let errors = Scenario::parse(&scenario, "test.toml").unwrap_err();
    assert_eq!(errors.errors().len(), 2);
    assert!(!format!("{errors}{errors:?}").contains("hunter2"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "(name|cohorts|target|seed|\\[|\\]|=|\"|\\{|\\}|\\.|\n| |é|5s|1)*") {
        let _ = Scenario::parse(&text, "test.toml").map_err(|errors| errors.to_string());
    }

    #[test]
    fn no_set_makes_the_parser_panic(set in "[a-z0-9=.\"é\\[\\{ -]{0,40}") {
        let changes = Changes { sets: vec![set], only: None };
        let _ = Scenario::parse_with(&with(""), "test.toml", &changes).map_err(|errors| errors.to_string());
    }
}

fn golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}
