//! The TLS of clients: whom they trust, by what clock, and what they show.
//!
//! There is one template for all devices; a wake clones it with the device's own identity and clock.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};

use super::authority::{AuthorityError, Credential, certificates_of};
use super::clock::wall_now;
use super::pins::Pins;

/// What is wrong with TLS material.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A root certificate or key cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The TLS library refused a key, certificate or setting.
    #[error("the TLS library refused it: {0}")]
    Rustls(#[from] rustls::Error),
    /// The operating system offers no root certificates.
    #[error("this machine has no root certificates ({0}): install ca-certificates, or name a ca")]
    NoSystemRoots(String),
    /// A name that no certificate can carry.
    #[error("{0} (expected a host name or an address)")]
    ServerName(String),
    /// A push certificate that is none.
    #[error("the certificate is for no push topic: its subject has no UID")]
    NoTopic,
}

/// What the certificate-checking side of TLS takes the time from: the operating system's clock,
/// shifted as far as the device's own clock is wrong.
#[derive(Debug)]
struct ShiftedClock {
    offset_ms: i64,
}

impl TimeProvider for ShiftedClock {
    fn current_time(&self) -> Option<UnixTime> {
        let shifted_ms = (wall_now().unix_micros() / 1000).saturating_add(self.offset_ms);
        let since = Duration::from_millis(u64::try_from(shifted_ms).unwrap_or(0));
        Some(UnixTime::since_unix_epoch(since))
    }
}

/// The template of one clock's TLS clients: made once, cloned per wake.
#[derive(Clone, Debug)]
pub struct ClientTls {
    anonymous: Arc<ClientConfig>,
    roots: Arc<RootCertStore>,
    offset_ms: i64,
}

impl ClientTls {
    /// Clients that trust `roots`, whose clock is `offset_ms` milliseconds ahead, and that offer the
    /// application protocol `protocol` (`http/1.1`, `h2`).
    ///
    /// Sessions are not resumed, unless a device keeps its tickets (`tickets`): a resumed session does
    /// not check the certificate again, which would hide a wrong clock.
    pub fn new(
        roots: Arc<RootCertStore>,
        offset_ms: i64,
        protocol: &str,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let clock = Arc::new(ShiftedClock { offset_ms });
        let mut config = ClientConfig::builder_with_details(provider, clock)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(Arc::clone(&roots))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Ok(Self {
            anonymous: Arc::new(config),
            roots,
            offset_ms,
        })
    }

    /// The same clients, offering these application protocols, the one they like best first.
    pub fn offering(self, protocols: &[&[u8]]) -> Self {
        let mut config = ClientConfig::clone(&self.anonymous);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Self {
            anonymous: Arc::new(config),
            ..self
        }
    }

    /// The same clients, content only with servers that one of the certificates `pinned` stands
    /// behind, beyond being trusted.
    ///
    /// # Errors
    /// When a pinned certificate cannot be read.
    pub fn pinned_to(self, pinned: &[CertificateDer<'static>]) -> Result<Self, TlsError> {
        let verifier = Pins::new(Arc::clone(&self.roots), pinned)?;
        let mut config = ClientConfig::clone(&self.anonymous);
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(verifier));
        Ok(Self {
            anonymous: Arc::new(config),
            ..self
        })
    }

    /// The configuration of a client that shows `identity` when asked for a certificate.
    pub fn config_for(&self, identity: Option<Arc<CertifiedKey>>) -> Arc<ClientConfig> {
        self.config_ahead(identity, 0)
    }

    /// The same for a client whose own clock is `ahead_us` microseconds ahead of the template's, or
    /// behind when it is negative: one clone, whatever the clock.
    pub fn config_ahead(
        &self,
        identity: Option<Arc<CertifiedKey>>,
        ahead_us: i64,
    ) -> Arc<ClientConfig> {
        if identity.is_none() && ahead_us == 0 {
            return Arc::clone(&self.anonymous);
        }
        Arc::new(self.clone_ahead(identity, ahead_us))
    }

    /// The same for a client that keeps the ticket of its latest session with whom it talks to.
    pub(super) fn config_resuming(
        &self,
        identity: Option<Arc<CertifiedKey>>,
        ahead_us: i64,
    ) -> Arc<ClientConfig> {
        let mut config = self.clone_ahead(identity, ahead_us);
        config.resumption = Resumption::in_memory_sessions(1);
        Arc::new(config)
    }

    fn clone_ahead(&self, identity: Option<Arc<CertifiedKey>>, ahead_us: i64) -> ClientConfig {
        let mut config = ClientConfig::clone(&self.anonymous);
        if let Some(identity) = identity {
            config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(identity));
        }
        if ahead_us != 0 {
            let offset_ms = self.offset_ms.saturating_add(ahead_us.div_euclid(1000));
            config.time_provider = Arc::new(ShiftedClock { offset_ms });
        }
        config
    }
}

/// A credential ready for TLS.
pub fn certified(credential: &Credential) -> Result<Arc<CertifiedKey>, TlsError> {
    let key = aws_lc_rs::sign::any_supported_type(&credential.key)?;
    Ok(Arc::new(CertifiedKey::new(credential.chain.clone(), key)))
}

/// The roots in a PEM text, which must hold at least one.
pub fn roots_of_pem(pem: &str) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates_of(pem)? {
        roots.add(certificate)?;
    }
    Ok(Arc::new(roots))
}

/// The roots that this machine trusts.
pub fn system_roots() -> Result<Arc<RootCertStore>, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TlsError::NoSystemRoots(reasons.join("; ")));
    }
    Ok(Arc::new(roots))
}
