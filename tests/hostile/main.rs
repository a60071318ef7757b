//! A server may send anything: at every step of every way to an identity, each ends in a named
//! refusal of that device alone, while others enrol. Every device of a run is a case.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod acme;
mod bodies;
mod captured;
mod front;
mod place;

use self::bodies as b;
use self::front::{Deed, Step};
use self::place::{Case, ENROLLED, case, check};

/// What any step may meet, whatever it is about.
fn transport(step: Step) -> Vec<Case> {
    let huge = "content-length: 1000000000000\r\n";
    vec![
        case("cut", step, Deed::Cut, "unreachable"),
        case("half an answer", step, Deed::Half, "unreachable"),
        case("no HTTP", step, Deed::NotHttp, "malformed-answer"),
        case(
            "500",
            step,
            Deed::Say(500, "", b::HTML.into()),
            "http-status",
        ),
        case(
            "a terabyte is announced",
            step,
            Deed::Say(200, huge, Vec::new()),
            "too-large",
        ),
        case(
            "5 MiB",
            step,
            Deed::Say(200, "", vec![b' '; 5 << 20]),
            "too-large",
        ),
        case("a body without end", step, Deed::Endless, "too-large"),
        case(
            "a head without end",
            step,
            Deed::EndlessHead,
            "malformed-answer",
        ),
        case("a body in drips", step, Deed::Drip, "timed-out"),
        case("a head in drips", step, Deed::DripHead, "timed-out"),
        case("redirects in a loop", step, Deed::Loop, "redirect-refused"),
        case(
            "a redirect to a public address",
            step,
            Deed::Say(302, "location: http://93.184.215.14/\r\n", Vec::new()),
            "redirect-refused",
        ),
        case(
            "a redirect to nowhere",
            step,
            Deed::Say(302, "location: http://[/\r\n", Vec::new()),
            "redirect-refused",
        ),
    ]
}

/// What a profile may be, at any step that ends in one.
fn profiles(step: Step) -> Vec<Case> {
    let say = |told, body: Vec<u8>, ends| case(told, step, Deed::Say(200, "", body), ends);
    vec![
        case(
            "403",
            step,
            Deed::Say(403, "", b::HTML.into()),
            "enrollment-refused",
        ),
        case("404", step, Deed::Say(404, "", Vec::new()), "http-status"),
        say("HTML", b::HTML.into(), "not-a-profile"),
        say("nothing", Vec::new(), "not-a-profile"),
        say(
            "an XML plist that is deep",
            b::deep_plist(),
            "not-a-profile",
        ),
        say(
            "entities that multiply",
            b::ENTITIES.into(),
            "not-a-profile",
        ),
        say(
            "a binary plist that holds itself",
            b::round_plist(),
            "not-a-profile",
        ),
        say("a plist that is an array", b::ARRAY.into(), "not-a-profile"),
        say(
            "a payload list of numbers",
            b::NUMBERS.into(),
            "impossible-payload",
        ),
        say("deep DER", b::deep_der(), "signature-broken"),
        say("endless DER", b::endless_der(), "signature-broken"),
        case(
            "half a profile",
            step,
            Deed::Change(b::half),
            "not-a-profile",
        ),
    ]
}

#[test]
fn a_profile_of_each_device() {
    let step = Step::Profile;
    let change = |told, change, ends| case(told, step, Deed::Change(change), ends);
    let cases = [
        transport(step),
        profiles(step),
        vec![
            change("Topic is a number", b::topic_number, "impossible-payload"),
            change("Topic is empty", b::topic_empty, "no-topic"),
            change("another Topic", b::topic_other, "profile-changed"),
            change("ServerURL by FTP", b::server_by_ftp, "impossible-payload"),
            change(
                "ServerURL elsewhere",
                b::server_elsewhere,
                "profile-changed",
            ),
            change("an RSA key of 64 bits", b::key_of_64, "impossible-payload"),
            change("no SCEP URL", b::no_scep_url, "impossible-payload"),
            change("SCEP by file", b::scep_by_file, "impossible-payload"),
            change("two million payloads", b::many_payloads, "too-large"),
            change("four thousand payloads", b::some_payloads, "not-a-profile"),
            change(
                "a Subject of a megabyte",
                b::long_subject,
                "impossible-payload",
            ),
        ],
    ];
    check(
        "[enrollment.profile]\nurl = \"FRONT/{n}/enroll\"\neach-device = true",
        cases.into_iter().flatten().collect(),
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, a case in each line")]
fn scep() {
    let (ca, caps, operation) = (
        Step::CaCertificate,
        Step::CaCapabilities,
        Step::PkiOperation,
    );
    let say = |told, step, body: Vec<u8>, ends| case(told, step, Deed::Say(200, "", body), ends);
    let change = |told, step, change, ends| case(told, step, Deed::Change(change), ends);
    let unreadable = "scep-answer-unreadable";
    let mut cases = Vec::new();
    for step in [ca, operation] {
        cases.extend(transport(step));
        cases.extend([
            say("HTML", step, b::HTML.into(), unreadable),
            say("nothing", step, Vec::new(), unreadable),
            say("deep DER", step, b::deep_der(), unreadable),
            say("endless DER", step, b::endless_der(), unreadable),
            say("a length of 2^64", step, b::vast_der(), unreadable),
            say("many values", step, b::wide_der(), unreadable),
            change("half of it", step, b::half, unreadable),
            change("more behind it", step, b::more, unreadable),
            case(
                "404",
                step,
                Deed::Say(404, "", b::HTML.into()),
                "http-status",
            ),
        ]);
    }
    cases.extend(
        transport(caps)
            .into_iter()
            .filter(|case| case.ends != "http-status"),
    );
    cases.extend([
        case(
            "no capabilities: 500",
            caps,
            Deed::Say(500, "", Vec::new()),
            "http-status",
        ),
        case(
            "no capabilities: 404",
            caps,
            Deed::Say(404, "", b::HTML.into()),
            ENROLLED,
        ),
        say("no capabilities: HTML", caps, b::HTML.into(), ENROLLED),
        say("no capabilities: bytes", caps, vec![0xff; 60_000], ENROLLED),
        change(
            "another fingerprint",
            Step::Profile,
            b::other_fingerprint,
            "ca-fingerprint",
        ),
        change("BER of no set length", operation, b::indefinite, ENROLLED),
        change(
            "a length in eight bytes",
            operation,
            b::long_length,
            unreadable,
        ),
        change(
            "a bit turned at the end",
            operation,
            b::turned,
            "signature-broken",
        ),
        case(
            "another's answer",
            operation,
            Deed::Replay,
            "nonce-mismatch",
        ),
        case("its own request", operation, Deed::Echo, "signature-broken"),
    ]);
    check(
        "[enrollment.profile]\nurl = \"FRONT/{n}/enroll\"\neach-device = true",
        cases,
    );
}

#[test]
fn over_the_air() {
    let mut cases = Vec::new();
    for step in [Step::Profile, Step::Attributes, Step::MdmProfile] {
        cases.extend(transport(step));
        cases.extend(profiles(step));
    }
    check("[enrollment.ota]\nurl = \"FRONT/{n}/ota/enroll\"", cases);
}

#[test]
fn automated() {
    let step = Step::Profile;
    let say =
        |told, status, body: &str, ends| case(told, step, Deed::Say(status, "", body.into()), ends);
    let update = r#"{"code":"com.apple.softwareupdate.required","details":{"OSVersion":"#;
    let mut cases = transport(step);
    cases.extend(profiles(step));
    cases.extend([
        say(
            "403 in words of its own",
            403,
            r#"{"code":"no"}"#,
            "enrollment-refused",
        ),
        say(
            "403 with a number for a code",
            403,
            r#"{"code":5}"#,
            "enrollment-refused",
        ),
        say(
            "an update to nonsense",
            403,
            &format!("{update}\"x.y\"}}}}"),
            "enrollment-refused",
        ),
        say(
            "an update to a list",
            403,
            &format!("{update}[1]}}}}"),
            "enrollment-refused",
        ),
        say(
            "an update without end",
            403,
            &format!("{update}\"{}\"}}}}", "9".repeat(1 << 20)),
            "enrollment-refused",
        ),
        case(
            "403 that is deep",
            step,
            Deed::Say(403, "", b::deep_json()),
            "enrollment-refused",
        ),
        case(
            "403 that is a deep plist",
            step,
            Deed::Say(403, "", b::deep_plist()),
            "enrollment-refused",
        ),
    ]);
    check("[enrollment.automated]\nurl = \"FRONT/{n}/ade\"", cases);
}

#[test]
fn account_driven() {
    let (found, sign_in) = (Step::Discovery, Step::SignIn);
    let refused = "enrollment-refused";
    let say = |told, step, status, body: &str, ends| {
        case(told, step, Deed::Say(status, "", body.into()), ends)
    };
    let with_head = |told, head| case(told, sign_in, Deed::Say(401, head, Vec::new()), refused);
    let server = |url: &str| {
        let version = "{\"Version\":\"mdm-byod\",\"BaseURL\":";
        format!("{{\"Servers\":[{version}{url}}}]}}")
    };
    let mut cases = Vec::new();
    for step in [found, sign_in, Step::Profile] {
        cases.extend(transport(step));
    }
    cases.extend(profiles(Step::Profile));
    cases.extend([
        say("discovery: HTML", found, 200, b::HTML, refused),
        say("discovery: 404", found, 404, b::HTML, "http-status"),
        say("discovery: a list", found, 200, "[]", refused),
        say(
            "discovery: a number for a URL",
            found,
            200,
            &server("5"),
            refused,
        ),
        say(
            "discovery: no URL",
            found,
            200,
            &server("\"\""),
            "unreachable",
        ),
        say(
            "discovery: a file",
            found,
            200,
            &server("\"file:///etc/passwd\""),
            "unreachable",
        ),
        case(
            "discovery: deep",
            found,
            Deed::Say(200, "", b::deep_json()),
            refused,
        ),
        say("sign-in: 200", sign_in, 200, b::HTML, "http-status"),
        with_head("sign-in: nothing said", ""),
        with_head("sign-in: Basic", "www-authenticate: Basic realm=\"x\"\r\n"),
        with_head("sign-in: no method", "www-authenticate: Bearer\r\n"),
        say(
            "the token is not taken",
            Step::Profile,
            401,
            "",
            "token-refused",
        ),
    ]);
    check(
        "[enrollment.account-driven]\naccount = \"a-{n}@school.example\"\nservice = \"FRONT/{n}\"\n\
         token = { env = \"HOSTILE_TOKEN\" }",
        cases,
    );
}
