//! SCEP (RFC 8894), the server's side: what is asked, who may have it, and what is answered.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use rustls::pki_types::CertificateDer;

use super::{Asked, Enrolling, bytes_answer, refused};
use crate::engine::clock::wall_now;
use crate::engine::pki::enveloped_data::Cipher;
use crate::engine::pki::request::Request;
use crate::engine::pki::scep::operation::Operation;
use crate::engine::pki::scep::{FailInfo, Purpose, ScepError};
use crate::engine::pki::signed_data::certificates_only;
use crate::engine::serve::register::Means;
use crate::scenario::ReplyCipher;

/// Requests that were told to wait and are remembered; beyond that the one whose transaction comes
/// first by name is forgotten, and has to be made anew.
const WAITING_MAX: usize = 65_536;

/// Requests that were told to wait, by transaction.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_transaction: BTreeMap<String, Postponed>,
}

/// A request that may have its certificate later.
#[derive(Clone, Debug)]
struct Postponed {
    request: Request,
    means: Means,
    /// How many more times it is told to wait.
    left: u32,
}

/// Answers a request to `/scep`.
pub(super) fn answer(asked: &Asked, enrolling: &Enrolling) -> Response<Full<Bytes>> {
    match asked.parameter("operation").as_deref() {
        Some("GetCACaps") => {
            let lines = enrolling.rules.capabilities.join("\n");
            bytes_answer("text/plain", lines.into_bytes())
        }
        Some("GetCACert") => match enrolling.issuer.certificates().as_slice() {
            [only] => bytes_answer("application/x-x509-ca-cert", only.clone()),
            all => bytes_answer("application/x-x509-ca-ra-cert", certificates_only(all)),
        },
        Some("PKIOperation") => match message(asked) {
            Ok(message) => operation(&message, enrolling),
            Err(why) => refused(StatusCode::BAD_REQUEST, &why),
        },
        Some(_) | None => refused(
            StatusCode::BAD_REQUEST,
            "expected operation=GetCACert, GetCACaps or PKIOperation",
        ),
    }
}

/// The message of a PKIOperation: the body of a POST, or base64 in the address.
fn message(asked: &Asked) -> Result<Bytes, String> {
    if asked.head.method == Method::POST {
        return Ok(asked.body.clone());
    }
    let message = asked.parameter("message").unwrap_or_default();
    // Some clients do not escape the plus sign, which others take for a space.
    let decoded = BASE64.decode(message.trim().replace(' ', "+"));
    let decoded = decoded.map_err(|error| format!("the message is not base64: {error}"))?;
    Ok(Bytes::from(decoded))
}

/// What is answered to an operation.
enum Verdict {
    Grant(Request, Means),
    Wait,
    Refuse(FailInfo, String),
}

fn operation(message: &[u8], enrolling: &Enrolling) -> Response<Full<Bytes>> {
    let own = enrolling.issuer.answering();
    let operation = match Operation::read(message, own) {
        Ok(operation) => operation,
        Err(error) => {
            // Without a sender and a nonce there is nobody to answer in the language of SCEP.
            enrolling.register.refused(Means::Scep);
            return refused(StatusCode::BAD_REQUEST, &error.to_string());
        }
    };
    match answer_to(&operation, enrolling) {
        Ok(answer) => bytes_answer("application/x-pki-message", answer),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn answer_to(operation: &Operation, enrolling: &Enrolling) -> Result<Vec<u8>, ScepError> {
    let own = enrolling.issuer.answering();
    let (why, what) = match enrolling.judge(operation) {
        Verdict::Grant(request, means) => match enrolling.issuer.issue(&request) {
            Ok(issued) => {
                enrolling.register.issued(&issued.der, means);
                let cipher = cipher(enrolling.rules.reply_cipher);
                return operation.grant(&issued.der, cipher, own, wall_now());
            }
            Err(what) => (FailInfo::Request, what),
        },
        Verdict::Wait => {
            enrolling.register.told_to_wait();
            return operation.postpone(own, wall_now());
        }
        Verdict::Refuse(why, what) => (why, what),
    };
    tracing::debug!(%why, what, "refusing a certificate");
    enrolling.register.refused(Means::Scep);
    operation.refuse(why, own, wall_now())
}

impl Enrolling {
    fn judge(&self, operation: &Operation) -> Verdict {
        let no = |why, what: &dyn ToString| Verdict::Refuse(why, what.to_string());
        match (&operation.purpose, &operation.request) {
            (Purpose::Poll, _) => self.wait_on(&operation.transaction, None),
            (Purpose::Enroll | Purpose::Renew, None) => {
                no(FailInfo::Request, &"there is no request in it")
            }
            (Purpose::Enroll, Some(request)) => {
                // A request that is sent again is the one that waits, not a second one.
                if let again @ (Verdict::Grant(..) | Verdict::Wait) =
                    self.wait_on(&operation.transaction, Some(request))
                {
                    return again;
                }
                let means = {
                    let mut challenges = self.challenges();
                    if let Err(wrong) = challenges.take(request.challenge.as_deref()) {
                        return no(FailInfo::Request, &wrong);
                    }
                    match challenges.are_used_up() {
                        true => Means::ScepOnce,
                        false => Means::Scep,
                    }
                };
                self.postpone(&operation.transaction, request, means)
            }
            // Who has a certificate of ours needs no challenge.
            (Purpose::Renew, Some(request)) => {
                let signer = CertificateDer::from(operation.signer.der().to_vec());
                match self.issuer.has_issued(&[signer]) {
                    true => Verdict::Grant(request.clone(), Means::ScepRenewal),
                    false => no(
                        FailInfo::MessageCheck,
                        &"the certificate to be renewed is none of ours, or has expired",
                    ),
                }
            }
        }
    }

    /// Grants a request at once, or lets it wait as often as the rules say.
    fn postpone(&self, transaction: &str, request: &Request, means: Means) -> Verdict {
        let request = request.clone();
        let Some(left) = self.rules.pending.checked_sub(1) else {
            return Verdict::Grant(request, means);
        };
        let mut waiting = self.waiting();
        if waiting.by_transaction.len() >= WAITING_MAX {
            waiting.by_transaction.pop_first();
        }
        let postponed = Postponed {
            request,
            means,
            left,
        };
        waiting
            .by_transaction
            .insert(transaction.to_owned(), postponed);
        Verdict::Wait
    }

    /// What becomes of a request that waits; `again` is what it looks like this time.
    fn wait_on(&self, transaction: &str, again: Option<&Request>) -> Verdict {
        let mut waiting = self.waiting();
        let found = waiting.by_transaction.get_mut(transaction);
        let same = |postponed: &Postponed| {
            again.is_none_or(|again| again.public_key == postponed.request.public_key)
        };
        match found.filter(|postponed| same(postponed)) {
            Some(postponed) if postponed.left > 0 => {
                postponed.left -= 1;
                Verdict::Wait
            }
            Some(_) => {
                let done = waiting.by_transaction.remove(transaction);
                let done = done.expect("it was found a moment ago, under the same lock");
                Verdict::Grant(done.request, done.means)
            }
            None => {
                let what = "no request of this transaction waits".to_owned();
                Verdict::Refuse(FailInfo::CertificateId, what)
            }
        }
    }
}

const fn cipher(wanted: ReplyCipher) -> Cipher {
    match wanted {
        ReplyCipher::Aes128 => Cipher::Aes128,
        ReplyCipher::Aes256 => Cipher::Aes256,
        ReplyCipher::TripleDes => Cipher::TripleDes,
        ReplyCipher::Des => Cipher::Des,
    }
}
