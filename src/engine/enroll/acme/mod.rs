//! ACME with device attestation (RFC 8555, draft-ietf-acme-device-attest): an order for what the
//! device calls itself, a key, the attestation of that key, and the certificate.
//!
//! Each order has an account of its own, as devices have no other use for one.

mod line;
mod problem;

use std::time::Duration;

use instant_acme::{
    AuthorizationStatus, ChallengeStatus, ChallengeType, DeviceAttestation, Identifier, NewOrder,
    Order, OrderStatus, RetryPolicy,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use self::line::Line;
use super::bearer::Bearer;
use super::refusal::{Name, Stop};
use super::trail::Trail;
use super::{Enroller, wanted};
use crate::engine::fetch::Trust;
use crate::engine::identity::OwnIdentity;
use crate::engine::pki::attestation::{Attested, attestation};
use crate::engine::pki::certificate::Certificate;
use crate::engine::pki::keys::{DeviceKey, KeyKind};
use crate::engine::pki::request::Wish;
use crate::fact::IdentityStep;
use crate::protocol::profile::{AcmePayload, Key};

/// An order has one identifier, and so one authorisation; a server that wants many more is none that
/// a device could please.
const AUTHORIZATIONS_MAX: usize = 8;

/// No chain of certificates is longer.
const CERTIFICATES_MAX: usize = 8;

/// An order that is not ready after so long is given up; the device begins anew later.
const PATIENCE_MAX: Duration = Duration::from_secs(30);

/// What a device sends in the place of an attestation when it makes none: an empty JSON object, which
/// smallstep/certificates looks for (acme/challenge.go).
const NO_ATTESTATION: &[u8] = b"{}";

/// Who asks, and by which payload.
pub(super) struct Asked<'a> {
    pub(super) payload: &'a AcmePayload,
    /// What a Mac is called in its certificate when the payload does not say.
    pub(super) name: &'a str,
    pub(super) bearer: &'a Bearer,
    pub(super) trust: Option<&'a Trust>,
    pub(super) trail: &'a Trail,
}

impl Enroller {
    pub(super) async fn acme(&self, asked: Asked<'_>) -> Result<OwnIdentity, Stop> {
        let trail = asked.trail;
        let since = trail.begin();
        let opened = self.order(&asked).await;
        let (mut line, mut order) = trail.end(IdentityStep::AcmeOrder, since, opened)?;

        let since = trail.begin();
        let key = self.key(kind(asked.payload.key)).await;
        let key = trail.end(IdentityStep::Key, since, key)?;

        let since = trail.begin();
        let proved = line.during(self.prove(&mut order, &key, &asked)).await;
        trail.end(IdentityStep::Attestation, since, proved)?;

        let since = trail.begin();
        let patience = self.patience();
        let got = certificate(&mut line, &mut order, &key, &asked, &patience).await;
        trail.end(IdentityStep::AcmeCertificate, since, got)
    }

    /// How long an order is looked at: twice, and not beyond the time that enrolment has.
    fn patience(&self) -> RetryPolicy {
        let longest = PATIENCE_MAX.min(self.way.enrollment.within / 2);
        RetryPolicy::new().timeout(longest)
    }

    async fn order<'a>(&'a self, asked: &Asked<'a>) -> Result<(Line<'a>, Order), Stop> {
        let (mut line, account) = Line::open(self, asked)?;
        let identifier = asked.payload.client_identifier.clone();
        let identifiers = [Identifier::PermanentIdentifier(identifier)];
        let order = line.during(async {
            let (account, _) = account.await?;
            Ok(account.new_order(&NewOrder::new(&identifiers)).await?)
        });
        let order = order.await?;
        Ok((line, order))
    }

    /// Answers the challenges of an order, and waits for what the server thinks of it.
    async fn prove(
        &self,
        order: &mut Order,
        key: &DeviceKey,
        asked: &Asked<'_>,
    ) -> Result<(), Stop> {
        let mut authorizations = order.authorizations();
        let mut answered = 0;
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending if answered < AUTHORIZATIONS_MAX => {}
                AuthorizationStatus::Pending => {
                    let what = format!("the order has more than {answered} authorisations");
                    return Err(Stop::never(Name::AcmeProblem, what));
                }
                AuthorizationStatus::Invalid
                | AuthorizationStatus::Revoked
                | AuthorizationStatus::Expired
                | AuthorizationStatus::Deactivated => {
                    let what = "a new order's authorisation is not open";
                    return Err(Stop::never(Name::AcmeProblem, what));
                }
            }
            answered += 1;
            let challenge = authorization.challenge(ChallengeType::DeviceAttest01);
            let mut challenge = challenge.ok_or_else(|| {
                let what = "the server offers no challenge device-attest-01";
                Stop::never(Name::AcmeProblem, what)
            })?;
            let token = &challenge.token;
            let object = asked.trail.working(|| self.attested(token, key, asked))?;
            let object = DeviceAttestation {
                att_obj: object.into(),
            };
            let status = challenge.send_device_attestation(&object).await;
            let status = status.map_err(|error| problem::of_challenge(&error))?;
            if status == ChallengeStatus::Invalid {
                return Err(not_believed("the challenge became invalid"));
            }
        }
        let mut status = order.refresh().await?.status;
        if matches!(status, OrderStatus::Pending | OrderStatus::Processing) {
            let ready = order.poll_ready(&self.patience()).await;
            status = ready.map_err(|error| problem::of_challenge(&error))?;
        }
        match status {
            OrderStatus::Invalid => Err(not_believed("the order became invalid")),
            OrderStatus::Pending
            | OrderStatus::Ready
            | OrderStatus::Processing
            | OrderStatus::Valid => Ok(()),
        }
    }

    /// The attestation of `key`, in the place of the maker's one of our own authority, if the payload
    /// wants one.
    fn attested(&self, token: &str, key: &DeviceKey, asked: &Asked<'_>) -> Result<Vec<u8>, Stop> {
        if !asked.payload.attest {
            return Ok(NO_ATTESTATION.to_vec());
        }
        let names = &asked.bearer.names;
        let attested = Attested {
            serial: &names.serial,
            udid: &names.udid,
            token: token.as_bytes(),
            public_key: key.public_key(),
        };
        // The maker's clock, not the device's.
        let right = self.clock.epoch().wall(self.clock.now());
        let object = attestation(&attested, &self.way.authority, right);
        object.map_err(|error| Stop::never(Name::KeyUnavailable, error.to_string()))
    }
}

/// Finalises an order that is ready, and reads what was issued.
async fn certificate(
    line: &mut Line<'_>,
    order: &mut Order,
    key: &DeviceKey,
    asked: &Asked<'_>,
    patience: &RetryPolicy,
) -> Result<OwnIdentity, Stop> {
    let names = &asked.bearer.names;
    let subject = wanted::subject(&asked.payload.subject, asked.name, names)?;
    let alternative_names = wanted::alternative_names(&asked.payload.alt_names, names);
    let wish = Wish {
        subject: &subject,
        alternative_names: &alternative_names,
        ..Wish::default()
    };
    let request = asked.trail.working(|| wish.sign(key));
    let request = request.map_err(|error| Stop::never(Name::KeyUnavailable, error.to_string()))?;
    let issued = line.during(async {
        order.finalize_csr(&request).await?;
        let chain = match order.state().status {
            OrderStatus::Valid => order.certificate().await?,
            OrderStatus::Pending
            | OrderStatus::Ready
            | OrderStatus::Processing
            | OrderStatus::Invalid => Some(order.poll_certificate(patience).await?),
        };
        chain.ok_or_else(|| Stop::never(Name::AcmeProblem, "the order is valid without a chain"))
    });
    let chain = issued.await?;
    identity(&chain, key)
}

/// The identity of a chain in PEM: the device's certificate, and what stands between it and a root.
fn identity(chain: &str, key: &DeviceKey) -> Result<OwnIdentity, Stop> {
    let unreadable = |what: String| {
        let what = format!("what was issued is no chain of certificates in PEM: {what}");
        Stop::never(Name::AcmeProblem, what)
    };
    let mut whole = Vec::new();
    for der in CertificateDer::pem_slice_iter(chain.as_bytes()) {
        let der = der.map_err(|error| unreadable(error.to_string()))?;
        let certificate = Certificate::read(&der);
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        if whole.len() == CERTIFICATES_MAX {
            return Err(unreadable("it is too long".to_owned()));
        }
        if whole.is_empty() && certificate.public_key() != key.public_key() {
            let what = "the certificate that was issued is for another key";
            return Err(Stop::never(Name::CertificateNotOurs, what));
        }
        let is_root = certificate.subject() == certificate.issuer();
        if whole.is_empty() || !is_root {
            whole.push(der);
        }
    }
    if whole.is_empty() {
        return Err(unreadable("it is empty".to_owned()));
    }
    Ok(OwnIdentity {
        key: key.pkcs8().into(),
        chain: whole,
        doors: None,
    })
}

fn not_believed(what: &str) -> Stop {
    Stop::never(Name::AttestationRefused, what)
}

const fn kind(key: Key) -> KeyKind {
    match key {
        Key::Ec(384) => KeyKind::P384,
        Key::Ec(521) => KeyKind::P521,
        Key::Ec(_) => KeyKind::P256,
        Key::Rsa(4096) => KeyKind::Rsa4096,
        Key::Rsa(_) => KeyKind::Rsa2048,
    }
}
