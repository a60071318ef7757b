//! Who is at the other end: the certificate a request is made with, once it is trusted.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ServerConfig, ServerConnection};
use tokio_rustls::TlsAcceptor;

use super::IdentityMode;
use super::enroll::Vouching;
use crate::engine::authority::Credential;
use crate::engine::certificate_header;
use crate::engine::clock::wall_now;
use crate::engine::cms;
use crate::engine::identity::{TlsError, roots_of_pem, sha256};
use crate::reference_server::Identity;

/// What a connection alone says about its client.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peer {
    identity: Option<Identity>,
}

impl Peer {
    /// The client of a TLS connection, whose certificate the handshake has checked.
    pub(super) fn of_connection(connection: &ServerConnection) -> Self {
        let certificate = connection.peer_certificates().and_then(<[_]>::first);
        Self {
            identity: certificate.map(|certificate| Identity(sha256(certificate))),
        }
    }
}

/// Lets devices in.
pub(super) struct Door {
    mode: IdentityMode,
    verifier: Arc<dyn ClientCertVerifier>,
    /// Trusts only who vouches for devices before they have an identity of ours.
    vouching: Arc<dyn ClientCertVerifier>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl Door {
    /// Lets in devices whose certificates `device_authority` (PEM) signed, or the `issuer` that they
    /// get their identities from here.
    pub(super) fn new(
        mode: IdentityMode,
        device_authority: &str,
        issuer: Option<&str>,
    ) -> Result<Self, TlsError> {
        let vouching = verifier(device_authority)?;
        let verifier = match issuer {
            Some(issuer) => verifier(&format!("{device_authority}\n{issuer}"))?,
            None => Arc::clone(&vouching),
        };
        Ok(Self {
            mode,
            verifier,
            vouching,
        })
    }

    /// Who vouches for devices that come for an identity.
    pub(super) fn vouching(&self) -> Vouching {
        Vouching::new(Arc::clone(&self.vouching))
    }

    /// The server side of TLS. Sessions are not resumed without `tickets`: each wake of a device is a
    /// handshake.
    pub(super) fn acceptor(
        &self,
        credential: &Credential,
        tickets: bool,
    ) -> Result<TlsAcceptor, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = match self.mode {
            IdentityMode::Mtls => config.with_client_cert_verifier(Arc::clone(&self.verifier)),
            IdentityMode::Signature | IdentityMode::Header(_) => config.with_no_client_auth(),
        };
        let key = credential.key.clone_key();
        let mut config = config.with_single_cert(credential.chain.clone(), key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if tickets {
            // They hold everything, so that none of it has to be kept here.
            config.ticketer = aws_lc_rs::Ticketer::new()?;
            config.send_tls13_tickets = 1;
        } else {
            config.send_tls13_tickets = 0;
        }
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// The identity behind a request; the error says why there is none.
    pub(super) fn identify(
        &self,
        peer: Peer,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Identity, String> {
        let header = |name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.ok_or_else(|| format!("the header {name} is missing"))
        };
        match &self.mode {
            IdentityMode::Mtls => peer
                .identity
                .ok_or_else(|| "the connection has no client certificate".to_owned()),
            IdentityMode::Signature => {
                let signer = cms::verify(header("Mdm-Signature")?, body)
                    .map_err(|error| error.to_string())?;
                self.trust(signer.certificate)
            }
            IdentityMode::Header(name) => {
                let certificate =
                    certificate_header::certificate(header(name)?).ok_or_else(|| {
                        format!("the header {name} is no certificate (RFC 9440, or escaped PEM)")
                    })?;
                self.trust(certificate)
            }
        }
    }

    fn trust(&self, certificate: Vec<u8>) -> Result<Identity, String> {
        let seconds = u64::try_from(wall_now().unix_seconds()).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let certificate = CertificateDer::from(certificate);
        self.verifier
            .verify_client_cert(&certificate, &[], now)
            .map_err(|error| format!("the certificate is not trusted: {error}"))?;
        Ok(Identity(sha256(&certificate)))
    }
}

/// Trusts certificates that one of `roots` (PEM) signed.
pub(super) fn verifier(roots: &str) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots_of_pem(roots)?, provider)
        // The administrator comes to the same port without a certificate.
        .allow_unauthenticated()
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    Ok(verifier)
}
