//! The gateway's side of TLS, and which providers it lets in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    ServerConnection, SignatureScheme,
};

use super::authority::{Credential, GATEWAY_NAMES, Validity};
use super::clock::Clock;
use super::identity::TlsError;
use super::push_certificate;
use super::run::RunError;
use super::state::State;
use crate::apns::provider::{Certificate, Environment};
use crate::time::WallTime;

/// The gateway's side of TLS.
#[derive(Clone, Debug)]
pub(super) struct ProviderTls {
    pub(super) config: Arc<ServerConfig>,
    pub(super) certificate: PushCertificate,
}

/// Whether the providers' certificates count as expired, whatever they say. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct PushCertificate {
    is_expired: Arc<AtomicBool>,
}

impl PushCertificate {
    /// From here on no provider is let in.
    pub(super) fn expire(&self) {
        self.is_expired.store(true, Ordering::Relaxed);
    }

    /// From here on certificates are taken as they are.
    pub(super) fn renew(&self) {
        self.is_expired.store(false, Ordering::Relaxed);
    }

    fn is_expired(&self) -> bool {
        self.is_expired.load(Ordering::Relaxed)
    }
}

/// The gateway's side of TLS: a certificate for Apple's push hosts and loopback, and a client
/// certificate that our APNs authority issued, or that is the scenario's push certificate.
pub(super) fn gateway_tls(
    state: &State,
    push: &Credential,
    clock: Clock,
) -> Result<ProviderTls, RunError> {
    let now = clock.epoch().wall(clock.now());
    let credential = state
        .apns_authority
        .server_certificate(&GATEWAY_NAMES, now)?;
    let mut roots = RootCertStore::empty();
    roots
        .add(state.apns_authority.certificate().clone())
        .map_err(TlsError::from)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let issued = builder
        .build()
        .map_err(|e| TlsError::from(rustls::Error::General(e.to_string())))?;
    let certificate = PushCertificate::default();
    let verifier = ProviderVerifier {
        certificate: certificate.clone(),
        issued,
        known: push.chain.first().cloned(),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::from)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(credential.chain, credential.key)
        .map_err(TlsError::from)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would not show its certificate again, and outlive it.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(ProviderTls {
        config: Arc::new(config),
        certificate,
    })
}

/// Lets in what our authority issued, and the one push certificate the scenario brought along,
/// whose issuer we need not know.
#[derive(Debug)]
struct ProviderVerifier {
    certificate: PushCertificate,
    issued: Arc<dyn ClientCertVerifier>,
    known: Option<CertificateDer<'static>>,
}

impl ClientCertVerifier for ProviderVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // No hints: a client that knows its issuer is not listed would send no certificate.
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        // Without one a provider may have a bearer token; if not, its pushes are refused.
        false
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if self.certificate.is_expired() {
            // The alert is certificate_expired.
            return Err(CertificateError::Expired.into());
        }
        if self
            .known
            .as_ref()
            .is_some_and(|known| known.as_ref() == end_entity.as_ref())
        {
            let at = i64::try_from(now.as_secs())
                .unwrap_or(i64::MAX)
                .saturating_mul(1_000_000);
            let at = WallTime::from_unix_micros(at);
            return match Validity::of_certificate(end_entity) {
                Some(validity) if validity.contains(at) => Ok(ClientCertVerified::assertion()),
                Some(_) => Err(CertificateError::Expired.into()),
                None => Err(CertificateError::BadEncoding.into()),
            };
        }
        self.issued
            .verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.issued.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.issued.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.issued.supported_verify_schemes()
    }
}

/// What a provider shows of itself in its TLS handshake: its certificate, and which of the two
/// services it came to, by the name it asked for.
pub(super) fn introduction(tls: &ServerConnection) -> (Option<Certificate>, Environment) {
    let shown = tls.peer_certificates().and_then(|chain| chain.first());
    let environment = match tls.server_name() {
        Some("api.sandbox.push.apple.com" | "api.development.push.apple.com") => {
            Environment::Sandbox
        }
        Some(_) | None => Environment::Production,
    };
    (shown.map(|der| push_certificate::read(der)), environment)
}

/// Why a provider and the gateway cannot agree on TLS: the certificate of one of them, or what they
/// speak. `None` when the handshake failed otherwise.
pub(super) fn refusal(error: &std::io::Error) -> Option<String> {
    use rustls::CertificateError::{Expired, ExpiredContext, UnknownIssuer};
    use rustls::Error::{
        AlertReceived, InvalidCertificate, NoApplicationProtocol, PeerIncompatible,
    };
    let tls = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    if matches!(tls, AlertReceived(alert) if is_distrust(*alert)) {
        let why = "the provider does not trust the gateway's certificate (SSL_CERT_FILE)";
        return Some(why.into());
    }
    if matches!(
        tls,
        AlertReceived(_) | NoApplicationProtocol | PeerIncompatible(_)
    ) {
        return Some(format!("the TLS handshake failed: {tls}"));
    }
    let InvalidCertificate(why) = tls else {
        return None;
    };
    let is_expired = matches!(why, Expired | ExpiredContext { .. });
    let is_foreign = *why == UnknownIssuer;
    Some(match (is_expired, is_foreign) {
        (true, _) => "the push certificate is expired".into(),
        (_, true) => "the push certificate is of an unknown issuer".into(),
        (false, false) => tls.to_string(),
    })
}

/// Whether an alert says that a certificate was not taken; clients differ in which one they send.
const fn is_distrust(alert: rustls::AlertDescription) -> bool {
    use rustls::AlertDescription as Alert;
    matches!(
        alert,
        Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::CertificateUnknown
            | Alert::UnsupportedCertificate
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
    )
}
