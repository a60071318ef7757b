//! SCEP in the order of Apple's devices (protocol.md 7.3): GetCACert, GetCACaps, a key, PKIOperation,
//! and again while the answer is PENDING.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use rustls::pki_types::CertificateDer;

use super::bearer::Bearer;
use super::refusal::{Name, Stop};
use super::trail::Trail;
use super::{Enroller, escaped, wanted};
use crate::engine::fetch::{Fetch, Fetched, Kept, Trust};
use crate::engine::identity::OwnIdentity;
use crate::engine::pki::certificate::Certificate;
use crate::engine::pki::draft::self_signed;
use crate::engine::pki::keys::{DeviceKey, KeyKind};
use crate::engine::pki::request::Wish;
use crate::engine::pki::scep::answer::PkiAnswer;
use crate::engine::pki::scep::authority::CaCertificates;
use crate::engine::pki::scep::capabilities::Capabilities;
use crate::engine::pki::scep::request::{Asking, PkiRequest};
use crate::engine::pki::scep::{FailInfo, Purpose, ScepError};
use crate::fact::IdentityStep;
use crate::protocol::profile::ScepPayload;
use crate::scenario::Method;
use crate::time::SimTime;

/// What a PKIOperation is sent as (RFC 8894 4.1).
const MESSAGE: HeaderValue = HeaderValue::from_static("application/x-pki-message");

/// Nothing waits longer than this for a request that is pending.
const RETRIES_MAX: u32 = 1000;

/// Who asks, and by which payload.
pub(super) struct Asked<'a> {
    pub(super) payload: &'a ScepPayload,
    /// What a Mac is called in its certificate when the payload does not say.
    pub(super) name: &'a str,
    pub(super) bearer: &'a Bearer,
    /// What is to be replaced, when the device has an identity already.
    pub(super) renews: Option<OwnIdentity>,
    pub(super) trust: Option<&'a Trust>,
    pub(super) trail: &'a Trail,
}

/// One device's conversation with a SCEP server, over one connection.
struct Talk<'a> {
    enroller: &'a Enroller,
    asked: &'a Asked<'a>,
    url: String,
    kept: Kept,
    /// From the first byte of the PKIOperation to its last answer. Our own work and waiting in between
    /// move the beginning.
    span: Option<(SimTime, SimTime)>,
}

/// Who signs what is asked, and what the answer is encrypted to.
struct Speaker {
    key: DeviceKey,
    certificate: Certificate,
}

impl Enroller {
    pub(super) async fn scep(&self, asked: Asked<'_>) -> Result<OwnIdentity, Stop> {
        let trail = asked.trail;
        let mut talk = Talk {
            enroller: self,
            asked: &asked,
            url: self.way.enrollment.rewritten(&asked.payload.url),
            kept: Kept::default(),
            span: None,
        };
        let since = trail.begin();
        let authority = talk.ca_certificates().await;
        let authority = trail.end(IdentityStep::CaCertificate, since, authority)?;

        let since = trail.begin();
        let able = talk.capabilities().await;
        let able = trail.end(IdentityStep::CaCapabilities, since, able)?;

        let since = trail.begin();
        let key = self.key(rsa(asked.payload.key_size)).await;
        let key = trail.end(IdentityStep::Key, since, key)?;

        let got = talk.certificate(&authority, able, &key).await;
        let now = trail.begin();
        let span = talk.span.unwrap_or((now, now));
        trail.over(IdentityStep::PkiOperation, span, got)
    }

    /// A key that nobody else has.
    pub(super) async fn key(&self, kind: KeyKind) -> Result<DeviceKey, Stop> {
        let made = self.way.keys.take(kind).await;
        made.map_err(|error| Stop::never(Name::KeyUnavailable, error.to_string()))
    }
}

impl Talk<'_> {
    async fn ca_certificates(&mut self) -> Result<CaCertificates, Stop> {
        let payload = self.asked.payload;
        let name = payload.ca_name.as_deref().unwrap_or_default();
        let fetched = self.get("GetCACert", name).await?;
        if fetched.status != 200 {
            return Err(Stop::status("GetCACert", &fetched));
        }
        let authority = CaCertificates::read(&fetched.body);
        let authority = authority.map_err(|error| refused(&error))?;
        if let Some(fingerprint) = &payload.fingerprint
            && !authority.has_fingerprint(fingerprint)
        {
            let what = match fingerprint.len() {
                20 | 32 => "no certificate of GetCACert has the payload's CAFingerprint".to_owned(),
                other => format!(
                    "the payload's CAFingerprint has {other} bytes and fits no certificate: SHA-1 \
                     has 20, SHA-256 has 32, and MD5 is not compared"
                ),
            };
            return Err(Stop::never(Name::CaFingerprint, what));
        }
        Ok(authority)
    }

    /// A server that does not know the question is able to do nothing beyond the least.
    async fn capabilities(&mut self) -> Result<Capabilities, Stop> {
        let name = self.asked.payload.ca_name.as_deref().unwrap_or_default();
        let fetched = self.get("GetCACaps", name).await?;
        match fetched.status {
            200 => Ok(Capabilities::read(&fetched.body)),
            500.. => Err(Stop::status("GetCACaps", &fetched)),
            _ => Ok(Capabilities::default()),
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "the answers to one question, and what each leads to"
    )]
    async fn certificate(
        &mut self,
        authority: &CaCertificates,
        able: Capabilities,
        key: &DeviceKey,
    ) -> Result<OwnIdentity, Stop> {
        let asked = self.asked;
        let at = asked.bearer.wall(self.enroller.clock);
        let names = &asked.bearer.names;
        let subject = wanted::subject(&asked.payload.subject, asked.name, names)?;
        let old = self.old(able)?;
        let (purpose, speaker) = match old {
            Some(old) => (Purpose::Renew, old),
            None => {
                let own = self_signed(key, &subject, at)
                    .map_err(|error| Stop::never(Name::KeyUnavailable, error.to_string()))?;
                (Purpose::Enroll, speaker(key.pkcs8(), &own)?)
            }
        };
        let names = wanted::alternative_names(&asked.payload.alt_names, names);
        let wish = Wish {
            subject: &subject,
            challenge: asked.payload.challenge.as_deref(),
            alternative_names: &names,
            key_usage: asked.payload.key_usage,
        };
        let wish = wish.sign(key);
        let wish = wish.map_err(|error| Stop::never(Name::KeyUnavailable, error.to_string()))?;
        let asking = Asking {
            authority,
            cipher: able.cipher(),
            key: &speaker.key,
            certificate: &speaker.certificate,
            at,
        };
        let public = key.public_key();
        let mut sent = PkiRequest::ask(purpose, &wish, public, &asking);
        let mut left = asked.payload.retries.min(RETRIES_MAX);
        // The first retry does not wait (Apple, RetryDelay).
        let mut wait = Duration::ZERO;
        let began = self.enroller.clock.now();
        loop {
            let request = sent.map_err(|error| refused(&error))?;
            let answer = self.operate(&request.message, able.post).await?;
            let answer = PkiAnswer::read(&answer, &request, &asking);
            match answer.map_err(|error| refused(&error))? {
                PkiAnswer::Issued {
                    certificate,
                    others,
                    cipher: _,
                } => return Ok(self.issued(key, certificate, others, authority)),
                PkiAnswer::Refused { why, text } => {
                    return Err(self.said_no(why, text.as_deref(), purpose));
                }
                PkiAnswer::Pending if left == 0 => {
                    let what = format!(
                        "still PENDING after {} retries",
                        asked.payload.retries.min(RETRIES_MAX)
                    );
                    return Err(Stop::not_yet(Name::ScepPendingTimeout, what));
                }
                PkiAnswer::Pending
                    if self.enroller.clock.now().since(began) + wait
                        > self.enroller.way.enrollment.within =>
                {
                    let what = format!(
                        "still PENDING, and the next retry, after {} s, would be later than \
                         enrollment.within",
                        wait.as_secs()
                    );
                    return Err(Stop::not_yet(Name::ScepPendingTimeout, what));
                }
                PkiAnswer::Pending => {
                    left -= 1;
                    if !wait.is_zero() {
                        self.kept.close();
                        asked.trail.seat().leave_for(wait).await;
                    }
                    wait = asked.payload.retry_delay;
                    sent = PkiRequest::poll(public, &asking);
                }
            }
        }
    }

    /// The identity that is renewed, if the server renews, and if it can answer to it: its answer is
    /// encrypted, for which that identity has to be an RSA one.
    fn old(&self, able: Capabilities) -> Result<Option<Speaker>, Stop> {
        let Some(old) = self.asked.renews.as_ref().filter(|_| able.renewal) else {
            return Ok(None);
        };
        let speaker = speaker(&old.key, &old.chain[0])?;
        Ok(Some(speaker).filter(|speaker| speaker.key.kind().rsa_bits().is_some()))
    }

    /// The identity with what stands between it and a root. What a device had a certificate for is
    /// remembered: a server that takes it only once refuses it the next time.
    fn issued(
        &self,
        key: &DeviceKey,
        certificate: Vec<u8>,
        others: Vec<Vec<u8>>,
        authority: &CaCertificates,
    ) -> OwnIdentity {
        if let Some(challenge) = &self.asked.payload.challenge {
            let mut spent = self.enroller.spent.borrow_mut();
            spent.insert(self.asked.bearer.device, challenge.clone());
        }
        let between = authority.all().iter().filter(|it| it.is_authority());
        let between = between.filter(|it| it.subject() != it.issuer());
        let mut chain = vec![certificate];
        chain.extend(others);
        chain.extend(between.map(|it| it.der().to_vec()));
        let mut whole: Vec<CertificateDer<'static>> = Vec::with_capacity(chain.len());
        for der in chain.into_iter().map(CertificateDer::from) {
            if !whole.contains(&der) {
                whole.push(der);
            }
        }
        OwnIdentity {
            key: key.pkcs8().into(),
            chain: whole,
            doors: None,
        }
    }

    /// What a refusal comes to. A wrong challenge is answered with badRequest by the servers of
    /// micromdm and those made from its library.
    fn said_no(&self, why: FailInfo, text: Option<&str>, purpose: Purpose) -> Stop {
        let words = text.map_or_else(String::new, |text| format!(": {text}"));
        let asked = self.asked;
        let challenge = asked.payload.challenge.as_ref();
        let spent = self.enroller.spent.borrow();
        let is_spent = challenge.is_some() && spent.get(&asked.bearer.device) == challenge;
        let (name, what) = match (why, challenge) {
            // The old identity vouches for the device there, and no challenge does.
            (FailInfo::Request, _) if purpose == Purpose::Renew => {
                (Name::ScepRefused, format!("{why}{words}, to a renewal"))
            }
            (FailInfo::Request, Some(_)) if is_spent => (
                Name::ChallengeBurnt,
                format!(
                    "{why}{words}: this challenge gave the device a certificate before, which it never enrolled with"
                ),
            ),
            (FailInfo::Request, Some(_)) => (
                Name::ChallengeRefused,
                format!("{why}{words}, as servers answer a challenge that is wrong or used up"),
            ),
            (FailInfo::Request, None) => (
                Name::ChallengeRefused,
                format!(
                    "{why}{words}; no challenge was sent, and servers answer so when they want one"
                ),
            ),
            (
                FailInfo::Algorithm
                | FailInfo::MessageCheck
                | FailInfo::Time
                | FailInfo::CertificateId
                | FailInfo::Unknown,
                _,
            ) => (Name::ScepRefused, format!("{why}{words}")),
        };
        // A profile of the device's own has another challenge the next time.
        let has_another = match &self.enroller.way.enrollment.method {
            Method::Profile(source) => source.each_device,
            Method::Ota(_) | Method::Automated { .. } | Method::AccountDriven { .. } => true,
            Method::Issued | Method::Scep(_) | Method::Acme(_) => false,
        };
        if has_another && name == Name::ChallengeBurnt {
            Stop::not_yet(name, what)
        } else {
            Stop::never(name, what)
        }
    }

    /// Sends a message by POST if the server takes it, and gives back the answer.
    async fn operate(&mut self, message: &[u8], post: bool) -> Result<Vec<u8>, Stop> {
        let asked = self.enroller.clock.now();
        let since = match self.span {
            Some((since, until)) => since + asked.since(until),
            None => asked,
        };
        let ours = self.asked.trail.ours();
        ours.set(Duration::ZERO);
        let answered = self.answered(message, post).await;
        let until = self.enroller.clock.now();
        self.span = Some(((since + ours.take()).min(until), until));
        answered
    }

    async fn answered(&mut self, message: &[u8], post: bool) -> Result<Vec<u8>, Stop> {
        let fetched = if post {
            let url = self.url_of("PKIOperation", "");
            let headers = [(CONTENT_TYPE, MESSAGE)];
            let fetch = Fetch {
                headers: &headers,
                ..Fetch::post(&url, message)
            };
            self.fetch(fetch).await?
        } else {
            let url = self.url_of("PKIOperation", &BASE64.encode(message));
            let fetch = Fetch {
                repeats: false,
                ..Fetch::get(&url)
            };
            self.fetch(fetch).await?
        };
        match fetched.status {
            200 => Ok(fetched.body),
            _ => Err(Stop::status("PKIOperation", &fetched)),
        }
    }

    async fn get(&mut self, operation: &str, message: &str) -> Result<Fetched, Stop> {
        let url = self.url_of(operation, message);
        self.fetch(Fetch::get(&url)).await
    }

    fn url_of(&self, operation: &str, message: &str) -> String {
        let url = &self.url;
        let begins = if url.contains('?') { '&' } else { '?' };
        match message {
            "" => format!("{url}{begins}operation={operation}"),
            _ => format!(
                "{url}{begins}operation={operation}&message={}",
                escaped(message)
            ),
        }
    }

    async fn fetch(&mut self, fetch: Fetch<'_>) -> Result<Fetched, Stop> {
        let fetch = Fetch {
            ahead_us: self.asked.bearer.ahead_us,
            trust: self.asked.trust,
            ours: Some(self.asked.trail.ours()),
            ..fetch
        };
        let fetcher = &self.enroller.fetcher;
        let fetched = fetcher.fetch_over(&mut self.kept, fetch).await;
        fetched.map_err(|broken| Stop::broken(&broken))
    }
}

fn speaker(key: &[u8], certificate: &[u8]) -> Result<Speaker, Stop> {
    let unusable = |what: String| Stop::never(Name::KeyUnavailable, what);
    Ok(Speaker {
        key: DeviceKey::from_pkcs8(key).map_err(|error| unusable(error.to_string()))?,
        certificate: Certificate::read(certificate).map_err(|error| unusable(error.to_string()))?,
    })
}

const fn rsa(bits: u32) -> KeyKind {
    match bits {
        4096 => KeyKind::Rsa4096,
        _ => KeyKind::Rsa2048,
    }
}

/// What is wrong with an answer, by its name.
fn refused(error: &ScepError) -> Stop {
    let name = match error.name() {
        "ca-key-not-rsa" => Name::CaKeyNotRsa,
        "nonce-mismatch" => Name::NonceMismatch,
        "certificate-not-ours" => Name::CertificateNotOurs,
        "signature-broken" => Name::SignatureBroken,
        "key-unavailable" => Name::KeyUnavailable,
        _ => Name::ScepAnswerUnreadable,
    };
    Stop::never(name, error.to_string())
}
