//! An ACME server that is none, at each step of an order.

use crate::bodies as b;
use crate::front::{Deed, Step};
use crate::place::{Case, ENROLLED, case, check};
use crate::transport;

const STEPS: [Step; 9] = [
    Step::Directory,
    Step::Nonce,
    Step::Account,
    Step::NewOrder,
    Step::Authorization,
    Step::Challenge,
    Step::Order,
    Step::Finalize,
    Step::Certificate,
];

const WAY: &str = "[enrollment.acme]\nurl = \"FRONT/{n}/acme/directory\"";

const PROBLEM: &str = "content-type: application/problem+json\r\nreplay-nonce: bm9uY2U\r\n";

const REFUSED: &str = "acme-problem";

fn say(told: &'static str, step: Step, body: impl Into<Vec<u8>>, ends: &'static str) -> Case {
    let head = "replay-nonce: bm9uY2U\r\n";
    case(told, step, Deed::Say(200, head, body.into()), ends)
}

fn change(
    told: &'static str,
    step: Step,
    change: fn(Vec<u8>) -> Vec<u8>,
    ends: &'static str,
) -> Case {
    case(told, step, Deed::Change(change), ends)
}

/// A problem document of this status and kind.
fn problem(told: &'static str, step: Step, status: u16, kind: &str, ends: &'static str) -> Case {
    let kind = format!("urn:ietf:params:acme:error:{kind}");
    let body = format!("{{\"type\":\"{kind}\",\"detail\":\"no\",\"status\":{status}}}");
    case(told, step, Deed::Say(status, PROBLEM, body.into()), ends)
}

/// `body` with `from` replaced, which has to be there.
fn replaced(body: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(body).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    text.replace(from, to).into_bytes()
}

/// The JSON object in `body` with this value instead.
fn with(body: Vec<u8>, key: &str, value: serde_json::Value) -> Vec<u8> {
    let mut json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    json[key] = value;
    json.to_string().into_bytes()
}

#[test]
fn any_step_may_meet_what_is_no_answer() {
    let mut cases: Vec<Case> = STEPS.into_iter().flat_map(transport).collect();
    // A nonce has no body that could be cut.
    cases.retain(|case| !matches!(case.deeds[..], [(Step::Nonce, Deed::Half)]));
    check(WAY, cases);
}

/// What an answer may be that is HTTP and no more.
#[test]
fn any_step_may_meet_what_is_no_acme() {
    let mut cases = Vec::new();
    for step in STEPS {
        // A nonce is in the head: the body does not matter.
        let ends = if matches!(step, Step::Nonce) {
            ENROLLED
        } else {
            REFUSED
        };
        cases.extend([
            say("HTML", step, b::HTML, ends),
            say("nothing", step, "", ends),
            say("an empty object", step, "{}", ends),
            say("a list", step, "[]", ends),
            say("deep JSON", step, b::deep_json(), ends),
            say("bytes", step, vec![0xff; 60_000], ends),
            case(
                "404",
                step,
                Deed::Say(404, "", b::HTML.into()),
                "http-status",
            ),
            problem(
                "a problem of the server's own",
                step,
                500,
                "serverInternal",
                REFUSED,
            ),
            problem("too many of them", step, 429, "rateLimited", REFUSED),
        ]);
    }
    check(WAY, cases);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, a case in each line")]
fn an_order_may_come_to_nothing_at_each_step() {
    use Step::{
        Account, Authorization, Certificate, Challenge, Directory, Finalize, NewOrder, Nonce, Order,
    };
    let not_believed = "attestation-refused";
    let mut cases = Vec::new();
    for step in [
        Account,
        NewOrder,
        Authorization,
        Challenge,
        Order,
        Finalize,
        Certificate,
    ] {
        cases.push(problem("badNonce for ever", step, 400, "badNonce", REFUSED));
    }
    for step in [Authorization, Order, Certificate] {
        cases.push(problem("unauthorized", step, 403, "unauthorized", REFUSED));
    }
    cases.extend([
        change(
            "no URL for orders",
            Directory,
            |it| with(it, "newOrder", 5.into()),
            REFUSED,
        ),
        change(
            "orders by file",
            Directory,
            |it| with(it, "newOrder", "file:///etc/passwd".into()),
            REFUSED,
        ),
        change(
            "orders at a public address",
            Directory,
            |it| with(it, "newOrder", "http://93.184.215.14/".into()),
            "unreachable",
        ),
        change(
            "accounts at nowhere",
            Directory,
            |it| with(it, "newAccount", "http://127.0.0.1:1/".into()),
            "unreachable",
        ),
        case(
            "a nonce that is not the server's",
            Nonce,
            Deed::Say(200, "replay-nonce: bm9uY2U\r\n", Vec::new()),
            ENROLLED,
        ),
        case("no nonce", Nonce, Deed::Say(204, "", Vec::new()), REFUSED),
        case(
            "a nonce that is no text",
            Nonce,
            Deed::Say(204, "replay-nonce: \u{ff}\u{fe}\r\n", Vec::new()),
            ENROLLED,
        ),
        case(
            "an account without a place",
            Account,
            Deed::Say(
                201,
                "replay-nonce: bm9uY2U\r\n",
                b"{\"status\":\"valid\"}".to_vec(),
            ),
            REFUSED,
        ),
        problem(
            "an account that has to be known",
            Account,
            403,
            "externalAccountRequired",
            REFUSED,
        ),
        problem(
            "an identifier that is not taken",
            NewOrder,
            400,
            "rejectedIdentifier",
            REFUSED,
        ),
        change(
            "an order with nothing to prove",
            NewOrder,
            |it| with(it, "authorizations", serde_json::json!([])),
            "timed-out",
        ),
        change(
            "an authorisation by file",
            NewOrder,
            |it| {
                with(
                    it,
                    "authorizations",
                    serde_json::json!(["file:///etc/passwd"]),
                )
            },
            REFUSED,
        ),
        change(
            "an authorisation that is a number",
            NewOrder,
            |it| with(it, "authorizations", serde_json::json!([5])),
            REFUSED,
        ),
        change(
            "the same authorisation a thousand times",
            NewOrder,
            |it| {
                let json: serde_json::Value = serde_json::from_slice(&it).unwrap();
                let one = json["authorizations"][0].clone();
                with(it, "authorizations", vec![one; 1000].into())
            },
            ENROLLED,
        ),
        change(
            "an order in a state that there is not",
            NewOrder,
            |it| with(it, "status", "maybe".into()),
            REFUSED,
        ),
        change(
            "the authorisation is invalid",
            Authorization,
            |it| with(it, "status", "invalid".into()),
            REFUSED,
        ),
        change(
            "the authorisation is revoked",
            Authorization,
            |it| with(it, "status", "revoked".into()),
            REFUSED,
        ),
        change(
            "the authorisation is open for ever",
            Authorization,
            |it| with(it, "challenges", serde_json::json!([])),
            REFUSED,
        ),
        change(
            "another kind of challenge",
            Authorization,
            |it| replaced(it, "device-attest-01", "http-01"),
            REFUSED,
        ),
        change(
            "a challenge by file",
            Authorization,
            |it| {
                let mut json: serde_json::Value = serde_json::from_slice(&it).unwrap();
                json["challenges"][0]["url"] = "file:///etc/passwd".into();
                json.to_string().into_bytes()
            },
            REFUSED,
        ),
        change(
            "a token of a megabyte",
            Authorization,
            |it| {
                let mut json: serde_json::Value = serde_json::from_slice(&it).unwrap();
                json["challenges"][0]["token"] = "x".repeat(1 << 20).into();
                json.to_string().into_bytes()
            },
            not_believed,
        ),
        change(
            "the challenge is invalid",
            Challenge,
            |it| with(it, "status", "invalid".into()),
            not_believed,
        ),
        problem(
            "the attestation is not believed",
            Challenge,
            400,
            "badAttestationStatement",
            not_believed,
        ),
        change(
            "the order is invalid",
            Order,
            |it| with(it, "status", "invalid".into()),
            not_believed,
        ),
        change(
            "the order is pending for ever",
            Order,
            |it| with(it, "status", "pending".into()),
            "timed-out",
        ),
        change(
            "the order is processed for ever",
            Order,
            |it| with(it, "status", "processing".into()),
            "timed-out",
        ),
        case(
            "the order wants to be asked tomorrow",
            Order,
            Deed::Say(
                200,
                "retry-after: 86399\r\nreplay-nonce: bm9uY2U\r\n",
                ORDER.into(),
            ),
            "timed-out",
        ),
        case(
            "the order wants to be asked in a million years",
            Order,
            Deed::Say(
                200,
                "retry-after: 18446744073709551615\r\nreplay-nonce: bm9uY2U\r\n",
                ORDER.into(),
            ),
            "timed-out",
        ),
        case(
            "the order wants to be asked now and now",
            Order,
            Deed::Say(
                200,
                "retry-after: 0\r\nreplay-nonce: bm9uY2U\r\n",
                ORDER.into(),
            ),
            "timed-out",
        ),
        problem("the request is bad", Finalize, 400, "badCSR", REFUSED),
        problem(
            "the order is not ready",
            Finalize,
            403,
            "orderNotReady",
            REFUSED,
        ),
        change(
            "valid without a certificate",
            Finalize,
            |it| with(it, "certificate", serde_json::Value::Null),
            REFUSED,
        ),
        change(
            "a certificate by file",
            Finalize,
            |it| with(it, "certificate", "file:///etc/passwd".into()),
            REFUSED,
        ),
        change("half a chain", Certificate, b::half, REFUSED),
        change(
            "a chain without end",
            Certificate,
            |it| it.repeat(2000),
            REFUSED,
        ),
        change(
            "a chain of megabytes",
            Certificate,
            |it| it.repeat(10_000),
            "too-large",
        ),
        say(
            "PEM without sense",
            Certificate,
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            REFUSED,
        ),
        change("more behind it", Certificate, b::more, ENROLLED),
        case(
            "another's certificate",
            Certificate,
            Deed::Replay,
            "certificate-not-ours",
        ),
    ]);
    check(WAY, cases);
}

/// An order that is never ready.
const ORDER: &str = r#"{"status":"processing","identifiers":[],"authorizations":[],"finalize":"http://127.0.0.1:1/"}"#;
