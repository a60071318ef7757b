//! An ACME server (RFC 8555) that issues to devices which attest their key
//! (`device-attest-01`, draft-acme-device-attest): one identifier, one authorisation and one
//! challenge for each order.
//!
//! The attestation's chain has to end at the authority that vouches for devices.

mod attestation;
mod book;
mod jws;
mod problem;

use std::sync::{Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::{Value, json};

use self::attestation::Attested;
use self::book::{Book, Order, Stage};
use self::jws::{Key, Request, Signer};
use self::problem::Problem;
use super::{Asked, Enrolling, token};
use crate::engine::identity::sha256;
use crate::engine::serve::register::Means;

/// Where it all is.
pub(super) const PREFIX: &str = "/acme/";

const NONCE: HeaderName = HeaderName::from_static("replay-nonce");

/// The ACME side of the server.
#[derive(Debug, Default)]
pub(super) struct Acme {
    book: Mutex<Book>,
}

/// An answer before it has its nonce.
struct Answer {
    status: StatusCode,
    kind: &'static str,
    location: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    fn json(status: StatusCode, value: &Value) -> Self {
        Self {
            status,
            kind: "application/json",
            location: None,
            body: value.to_string().into_bytes(),
        }
    }

    fn at(mut self, location: String) -> Self {
        self.location = Some(location);
        self
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        let status = StatusCode::from_u16(problem.status).expect("problems have HTTP statuses");
        let mut answer = Self::json(status, &problem.json());
        answer.kind = "application/problem+json";
        answer
    }
}

/// Answers a request below [`PREFIX`].
pub(super) fn answer(asked: &Asked, enrolling: &Enrolling) -> Response<Full<Bytes>> {
    let acme = &enrolling.acme;
    let path = asked.path().strip_prefix(PREFIX).unwrap_or_default();
    let answer = match (&asked.head.method, path) {
        (&Method::GET, "directory") => Answer::json(StatusCode::OK, &directory(&asked.base)),
        (&Method::HEAD, "new-nonce") => Answer::json(StatusCode::OK, &Value::Null),
        (&Method::GET, "new-nonce") => Answer::json(StatusCode::NO_CONTENT, &Value::Null),
        (&Method::POST, path) => {
            post(path, asked, enrolling).unwrap_or_else(|problem| problem.into())
        }
        _ => Problem::new(405, "malformed", "GET the directory, POST everything else").into(),
    };
    let nonce = acme.book().nonce(token());
    let body = match answer.status {
        StatusCode::NO_CONTENT => Vec::new(),
        _ => answer.body,
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let nonce = HeaderValue::from_str(&nonce).expect("nonces are letters and digits");
    headers.insert(NONCE, nonce);
    if let Some(location) = answer.location.and_then(|it| it.try_into().ok()) {
        headers.insert(LOCATION, location);
    }
    response
}

fn directory(base: &str) -> Value {
    let url = |path: &str| format!("{base}{PREFIX}{path}");
    json!({
        "newNonce": url("new-nonce"),
        "newAccount": url("new-account"),
        "newOrder": url("new-order"),
        "meta": { "externalAccountRequired": false },
    })
}

/// A request that is signed, by an account unless it is to open one.
fn post(path: &str, asked: &Asked, enrolling: &Enrolling) -> Result<Answer, Problem> {
    let acme = &enrolling.acme;
    let request = Request::read(&asked.body)?;
    acme.book().spend(&request.nonce)?;
    // The host may be another one: devices here may be told to go elsewhere than a URL says.
    if !request.url.ends_with(&format!("{PREFIX}{path}")) {
        let detail = "the protected header's url is not the one that was asked";
        return Err(Problem::new(401, "unauthorized", detail));
    }
    let account = match &request.signer {
        Signer::Key(key) if path == "new-account" => {
            request.check(key)?;
            return acme.new_account(key, &request.payload, &asked.base);
        }
        Signer::Key(_) => return Err(Problem::malformed("expected kid, the account's URL")),
        Signer::Account(url) => {
            let number = url.rsplit_once("/acme/account/");
            let number = number.and_then(|(_, number)| number.parse().ok());
            let key = number.and_then(|number| acme.book().key_of(number));
            let (Some(number), Some(key)) = (number, key) else {
                let detail = "there is no such account";
                return Err(Problem::new(400, "accountDoesNotExist", detail));
            };
            request.check(&key)?;
            number
        }
    };
    let payload = &request.payload;
    if path == "new-order" {
        return acme.new_order(account, payload, &asked.base);
    }
    let number = path.rsplit_once('/');
    let Some((kind, Ok(number))) = number.map(|(kind, number)| (kind, number.parse::<u64>()))
    else {
        return Err(Problem::new(404, "malformed", "there is no such resource"));
    };
    match kind {
        "account" if number == account => {
            let account = json!({ "status": "valid" });
            return Ok(Answer::json(StatusCode::OK, &account));
        }
        "challenge" => acme.attest(number, account, payload, enrolling)?,
        "finalize" => acme.finalize(number, account, payload, enrolling)?,
        "order" | "authz" | "cert" => {}
        _ => return Err(Problem::new(404, "malformed", "there is no such resource")),
    }
    acme.show(kind, number, account, &asked.base)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewAccount {
    #[serde(default)]
    only_return_existing: bool,
}

#[derive(Deserialize)]
struct NewOrder {
    identifiers: Vec<Identifier>,
}

#[derive(Deserialize)]
struct Identifier {
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AttestationAnswer {
    #[serde(default)]
    att_obj: String,
}

#[derive(Deserialize)]
struct Finalize {
    csr: String,
}

fn read<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, Problem> {
    let read = serde_json::from_slice(payload);
    read.map_err(|error| Problem::malformed(&format!("the payload: {error}")))
}

/// The longest identifier that is taken, in bytes.
const IDENTIFIER_MAX: usize = 256;

impl Acme {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no holder of this lock panics")
    }

    fn new_account(&self, key: &Key, payload: &[u8], base: &str) -> Result<Answer, Problem> {
        let wanted: NewAccount = read(payload)?;
        let mut book = self.book();
        let (status, number) = match book.account_of(key) {
            Some(number) => (StatusCode::OK, number),
            None if wanted.only_return_existing => {
                let detail = "this key has no account";
                return Err(Problem::new(400, "accountDoesNotExist", detail));
            }
            None => (StatusCode::CREATED, book.open_account(key)),
        };
        let account = json!({ "status": "valid" });
        Ok(Answer::json(status, &account).at(format!("{base}{PREFIX}account/{number}")))
    }

    fn new_order(&self, account: u64, payload: &[u8], base: &str) -> Result<Answer, Problem> {
        let wanted: NewOrder = read(payload)?;
        let [identifier] = wanted.identifiers.as_slice() else {
            return Err(Problem::malformed("expected one identifier"));
        };
        let is_right = identifier.kind == "permanent-identifier"
            && (1..=IDENTIFIER_MAX).contains(&identifier.value.len());
        if !is_right {
            let detail = "expected a permanent-identifier: the device's serial number or UDID";
            return Err(Problem::new(400, "unsupportedIdentifier", detail));
        }
        let number = self.book().open_order(Order {
            account,
            identifier: identifier.value.clone(),
            token: token(),
            stage: Stage::Pending,
        });
        let mut answer = self.show("order", number, account, base)?;
        answer.status = StatusCode::CREATED;
        Ok(answer)
    }

    /// An order, its authorisation, its challenge or its certificate, as the client sees it.
    fn show(&self, kind: &str, number: u64, account: u64, base: &str) -> Result<Answer, Problem> {
        let order = self.book().order(number, account)?.clone();
        let url = |kind: &str| format!("{base}{PREFIX}{kind}/{number}");
        let identifier = json!({ "type": "permanent-identifier", "value": order.identifier });
        let (order_is, challenge_is) = match &order.stage {
            Stage::Pending => ("pending", "pending"),
            Stage::Invalid(_) => ("invalid", "invalid"),
            Stage::Ready(_) => ("ready", "valid"),
            Stage::Processing => ("processing", "valid"),
            Stage::Valid(_) => ("valid", "valid"),
        };
        let mut challenge = json!({
            "type": "device-attest-01",
            "url": url("challenge"),
            "status": challenge_is,
            "token": order.token,
        });
        if let Stage::Invalid(problem) = &order.stage {
            challenge["error"] = problem.json();
        }
        match (kind, &order.stage) {
            ("challenge", _) => Ok(Answer::json(StatusCode::OK, &challenge)),
            ("authz", _) => {
                let authorization = json!({
                    "status": challenge_is,
                    "identifier": identifier,
                    "challenges": [challenge],
                });
                Ok(Answer::json(StatusCode::OK, &authorization))
            }
            ("cert", Stage::Valid(chain)) => Ok(Answer {
                status: StatusCode::OK,
                kind: "application/pem-certificate-chain",
                location: None,
                body: chain.clone().into_bytes(),
            }),
            ("cert", _) => Err(Problem::new(404, "orderNotReady", "nothing is issued yet")),
            (_, stage) => {
                let mut shown = json!({
                    "status": order_is,
                    "identifiers": [identifier],
                    "authorizations": [url("authz")],
                    "finalize": url("finalize"),
                });
                if let Stage::Valid(_) = stage {
                    shown["certificate"] = url("cert").into();
                }
                Ok(Answer::json(StatusCode::OK, &shown).at(url("order")))
            }
        }
    }

    /// Takes the answer to a challenge; what is wrong with it is kept with the order.
    fn attest(
        &self,
        number: u64,
        account: u64,
        payload: &[u8],
        enrolling: &Enrolling,
    ) -> Result<(), Problem> {
        // POST-as-GET looks at the challenge; it answers nothing.
        if payload.is_empty() {
            return Ok(());
        }
        let order = self.book().order(number, account)?.clone();
        if !matches!(order.stage, Stage::Pending) {
            return Ok(());
        }
        let answer: AttestationAnswer = read(payload)?;
        let stage = match judge(&answer, &order, enrolling) {
            Ok(public_key) => Stage::Ready(public_key),
            Err(problem) => {
                enrolling.register.refused(Means::Acme);
                Stage::Invalid(problem)
            }
        };
        self.book().order(number, account)?.stage = stage;
        Ok(())
    }

    /// Issues the certificate of an order.
    fn finalize(
        &self,
        number: u64,
        account: u64,
        payload: &[u8],
        enrolling: &Enrolling,
    ) -> Result<(), Problem> {
        let wanted: Finalize = read(payload)?;
        let bad = |detail: &str| Problem::new(400, "badCSR", detail);
        let csr = BASE64.decode(&wanted.csr);
        let csr = csr.map_err(|error| bad(&format!("not base64url: {error}")))?;
        let attested = {
            let mut book = self.book();
            let order = book.order(number, account)?;
            let Stage::Ready(key) = &order.stage else {
                let detail = "the challenge has not been answered, or the order is finished";
                return Err(Problem::new(403, "orderNotReady", detail));
            };
            let key = key.clone();
            order.stage = Stage::Processing;
            key
        };
        let issued = enrolling.issuer.issue_attested(&csr, attested.as_deref());
        let mut book = self.book();
        let order = book.order(number, account)?;
        match issued {
            Ok(issued) => {
                enrolling.register.issued(&issued.der, Means::Acme);
                order.stage = Stage::Valid(issued.chain_pem);
                Ok(())
            }
            Err(why) => {
                order.stage = Stage::Ready(attested);
                Err(bad(&why))
            }
        }
    }
}

/// The key that an attestation is for, once everything in it is as it should be; `None` without an
/// attestation, where none is wanted.
fn judge(
    answer: &AttestationAnswer,
    order: &Order,
    enrolling: &Enrolling,
) -> Result<Option<Vec<u8>>, Problem> {
    let bad = Problem::bad_attestation;
    let object = BASE64.decode(&answer.att_obj);
    let object = object.map_err(|error| bad(&format!("attObj is not base64url: {error}")))?;
    // An empty JSON object stands for none as well (smallstep/certificates, acme/challenge.go).
    match (&*object, enrolling.rules.attestation) {
        (b"" | b"{}", true) => return Err(bad("there is no attestation")),
        (b"" | b"{}", false) => return Ok(None),
        _ => {}
    }
    let chain = attestation::chain_of(&object).map_err(bad)?;
    enrolling.vouching.trust(&chain).map_err(|why| bad(&why))?;
    let attested = Attested::of(&chain[0]).ok_or_else(|| bad("its certificate is unreadable"))?;
    if attested.freshness.as_deref() != Some(&sha256(order.token.as_bytes())) {
        return Err(bad("the freshness code is not the SHA-256 of the token"));
    }
    let wanted = Some(order.identifier.as_str());
    if attested.serial.as_deref() != wanted && attested.udid.as_deref() != wanted {
        return Err(bad(
            "the order's identifier is neither serial number nor UDID",
        ));
    }
    Ok(Some(attested.public_key))
}
