//! Every way into the server: profiles, SCEP, ACME, over the air, automated and account-driven
//! enrolment, each under a path of its own.
//!
//! None of it touches the machine: a way in ends with an identity and a profile, and what a device
//! does with them comes in through `/mdm` as with any other identity.

mod account;
mod acme;
mod automated;
mod challenge;
mod issuer;
mod ota;
mod profile;
mod scep;
mod vouching;

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Semaphore;

use self::acme::Acme;
use self::challenge::Challenges;
use self::issuer::Issuer;
use self::profile::Wanted;
use self::scep::Waiting;
pub(super) use self::vouching::Vouching;
use super::register::Register;
use super::routes::{json_answer, parameter};
use super::{IdentityMode, ServeError, Shared};
use crate::engine::authority::Credential;
use crate::ids::hex_lower;
use crate::protocol::profile::PROFILE_CONTENT_TYPE;
use crate::scenario::EmbeddedTarget;

/// How the server enrols devices, and with which authority.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EnrollmentSettings {
    /// The certificate of the authority that issues identities, as PEM. RSA: a device encrypts its
    /// SCEP request to it.
    pub certificate: String,
    /// Its key, as PEM.
    pub key: String,
    /// Everything else.
    pub rules: EmbeddedTarget,
}

/// The ways into a server.
#[derive(Debug)]
pub(super) struct Enrolling {
    rules: EmbeddedTarget,
    /// How devices prove who they are once they have an identity.
    identity: IdentityMode,
    issuer: Issuer,
    vouching: Vouching,
    register: Arc<Register>,
    challenges: Mutex<Challenges>,
    waiting: Mutex<Waiting>,
    acme: Acme,
    /// What the first phase over the air gives and the others bring back.
    ota_challenge: String,
    /// Who signs profiles, if anybody does.
    signer: Option<Credential>,
    /// Private keys are used on threads beside the runtime, as many as there are cores.
    workers: Arc<Semaphore>,
}

/// A request, read to its end.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) head: Parts,
    pub(super) body: Bytes,
    /// Scheme and host as the client knows them, without a slash at the end.
    base: String,
}

impl Asked {
    /// A request on a connection with or without TLS.
    pub(super) fn new(head: Parts, body: Bytes) -> Self {
        let host = head.uri.authority().map(|authority| authority.as_str());
        let header = head.headers.get(http::header::HOST);
        let host = host.or_else(|| header.and_then(|host| host.to_str().ok()));
        // Devices go to https alone: where there is none, somebody in front of us has it.
        let base = format!("https://{}", host.unwrap_or("localhost"));
        Self { head, body, base }
    }

    fn path(&self) -> &str {
        self.head.uri.path()
    }

    fn parameter(&self, name: &str) -> Option<String> {
        parameter(self.head.uri.query().unwrap_or_default(), name)
    }
}

/// Whether `path` is one of the ways in.
pub(super) fn is_way_in(path: &str) -> bool {
    const EXACT: [&str; 7] = [
        "/enroll",
        "/scep",
        "/ota/enroll",
        "/ota/phase23",
        "/ade",
        "/account",
        "/.well-known/com.apple.remotemanagement",
    ];
    EXACT.contains(&path) || path.starts_with(acme::PREFIX)
}

impl Enrolling {
    pub(super) fn new(
        settings: &EnrollmentSettings,
        identity: IdentityMode,
        server: &Credential,
        vouching: Vouching,
        register: Arc<Register>,
    ) -> Result<Self, ServeError> {
        let rules = settings.rules.clone();
        let signer = rules.signed_profile.then(|| server.clone());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            identity,
            issuer: Issuer::new(settings)?,
            vouching,
            register,
            challenges: Mutex::new(Challenges::new(rules.challenge.clone())),
            waiting: Mutex::default(),
            acme: Acme::default(),
            ota_challenge: token(),
            signer,
            workers: Arc::new(Semaphore::new(cores)),
            rules,
        })
    }

    fn challenges(&self) -> MutexGuard<'_, Challenges> {
        self.challenges
            .lock()
            .expect("no holder of this lock panics")
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("no holder of this lock panics")
    }

    /// How many one-time challenges were given out, and how many of them used.
    pub(super) fn challenge_counts(&self) -> (u64, u64) {
        self.challenges().counts()
    }

    /// A profile that enrols the device that asked.
    fn hand_out(&self, asked: &Asked, topic: String, wanted: Wanted) -> Response<Full<Bytes>> {
        match self.enrollment_profile(&asked.base, topic, wanted) {
            Ok(profile) => self.hand_out_profile(profile),
            Err(why) => refused(StatusCode::SERVICE_UNAVAILABLE, why),
        }
    }

    /// A profile, signed if profiles are.
    fn hand_out_profile(&self, profile: Vec<u8>) -> Response<Full<Bytes>> {
        let profile = match &self.signer {
            None => profile,
            Some(signer) => match issuer::signed(&profile, signer) {
                Ok(signed) => signed,
                Err(why) => return refused(StatusCode::INTERNAL_SERVER_ERROR, &why),
            },
        };
        bytes_answer(PROFILE_CONTENT_TYPE, profile)
    }
}

/// Answers a request for one of the ways in.
pub(super) async fn answer(
    asked: Asked,
    enrolling: &Arc<Enrolling>,
    shared: &Shared,
) -> Response<Full<Bytes>> {
    let topic = shared.push_clients.any_topic().unwrap_or_default();
    let method = asked.head.method.clone();
    match (asked.path(), &method) {
        ("/enroll", &Method::GET) => enrolling.hand_out(&asked, topic, Wanted::of_query(&asked)),
        ("/scep", &Method::GET | &Method::POST) => {
            aside(enrolling, move |enrolling| scep::answer(&asked, enrolling)).await
        }
        ("/ota/enroll", &Method::GET) => ota::begin(&asked, enrolling),
        ("/ota/phase23", &Method::POST) => ota::answer(&asked, enrolling, topic),
        ("/ade", &Method::GET | &Method::POST) => automated::enroll(&asked, enrolling, topic),
        ("/.well-known/com.apple.remotemanagement", &Method::GET) => account::discovery(&asked),
        ("/account", &Method::POST) => account::enroll(&asked, enrolling, topic),
        (path, _) if path.starts_with(acme::PREFIX) => {
            aside(enrolling, move |enrolling| acme::answer(&asked, enrolling)).await
        }
        (_, _) => refused(StatusCode::METHOD_NOT_ALLOWED, "not with this method"),
    }
}

/// Does something with a private key beside the runtime, which has connections to serve.
async fn aside(
    enrolling: &Arc<Enrolling>,
    act: impl FnOnce(&Enrolling) -> Response<Full<Bytes>> + Send + 'static,
) -> Response<Full<Bytes>> {
    let workers = Arc::clone(&enrolling.workers);
    let permit = workers.acquire_owned().await;
    let permit = permit.expect("this semaphore is never closed");
    let enrolling = Arc::clone(enrolling);
    let done = tokio::task::spawn_blocking(move || {
        let answer = act(&enrolling);
        drop(permit);
        answer
    });
    done.await.unwrap_or_else(|error| {
        tracing::error!(%error, "answering a request of enrolment");
        refused(StatusCode::INTERNAL_SERVER_ERROR, "the server failed")
    })
}

fn refused(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    tracing::debug!(%status, why, "refusing a way in");
    json_answer(status, &json!({ "error": why }))
}

fn bytes_answer(kind: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// A text that nobody can guess: 128 bits in hexadecimal.
fn token() -> String {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
    hex_lower(&bytes)
}
