//! What an ACME server's refusals come to (RFC 8555 6.7).

use instant_acme::{Error, Problem};

use crate::engine::enroll::refusal::{Name, Stop};

/// So many characters of what a server says are told.
const TOLD_MAX: usize = 300;

const URN: &str = "urn:ietf:params:acme:error:";

/// The problem document in a body.
pub(super) fn read(body: &[u8]) -> Option<Problem> {
    let problem: Problem = serde_json::from_slice(body).ok()?;
    problem.r#type.is_some().then_some(problem)
}

/// What a problem comes to, under `name` unless it passes by itself.
pub(super) fn refused(problem: &Problem, name: Name) -> Stop {
    let kind = problem.r#type.as_deref().unwrap_or("a problem");
    let kind = kind.strip_prefix(URN).unwrap_or(kind);
    let detail = problem.detail.as_deref().unwrap_or_default();
    let what = match detail {
        "" => cut(kind).to_owned(),
        detail => format!("{}: {}", cut(kind), cut(detail)),
    };
    let passes = matches!(problem.status, Some(408 | 425 | 429 | 500..))
        || matches!(kind, "badNonce" | "rateLimited" | "serverInternal");
    match passes {
        true => Stop::not_yet(Name::AcmeProblem, what),
        false => Stop::never(name, what),
    }
}

/// What goes wrong with a challenge: a problem is what the server thinks of the attestation.
pub(super) fn of_challenge(error: &Error) -> Stop {
    if let Error::Api(problem) = error {
        return refused(problem, Name::AttestationRefused);
    }
    stop(error)
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        stop(&error)
    }
}

fn stop(error: &Error) -> Stop {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the library may know further errors one day"
    )]
    match error {
        Error::Api(problem) => refused(problem, Name::AcmeProblem),
        Error::Timeout(_) => {
            let what = "the order was not ready in time, or the server wants to be asked later";
            Stop::not_yet(Name::TimedOut, what)
        }
        Error::Crypto | Error::KeyRejected => Stop::never(Name::KeyUnavailable, error.to_string()),
        other => Stop::never(Name::AcmeProblem, cut(&other.to_string())),
    }
}

/// The beginning of what a server says.
pub(super) fn cut(text: &str) -> &str {
    match text.char_indices().nth(TOLD_MAX) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}
