//! Pinned certificates: what an enrolment profile names beyond which a server is not believed
//! (`ServerURLPinningCertificateUUIDs`, `CheckInURLPinningCertificateUUIDs`).

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::client_tls::TlsError;

/// Believes a server that is trusted as any other, and that a pinned certificate stands behind: it
/// is in the chain the server shows, or that chain ends in it.
#[derive(Debug)]
pub(super) struct Pins {
    trusted: Arc<WebPkiServerVerifier>,
    /// The same with the pinned certificates alone as roots.
    anchored: Arc<WebPkiServerVerifier>,
    pinned: Vec<CertificateDer<'static>>,
}

impl Pins {
    pub(super) fn new(
        roots: Arc<RootCertStore>,
        pinned: &[CertificateDer<'static>],
    ) -> Result<Self, TlsError> {
        let mut anchors = RootCertStore::empty();
        for certificate in pinned {
            anchors.add(certificate.clone())?;
        }
        Ok(Self {
            trusted: verifier(roots)?,
            anchored: verifier(Arc::new(anchors))?,
            pinned: pinned.to_vec(),
        })
    }
}

fn verifier(roots: Arc<RootCertStore>) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
    verifier.map_err(|error| TlsError::Rustls(Error::General(error.to_string())))
}

impl ServerCertVerifier for Pins {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.trusted.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        let shows = std::iter::once(end_entity).chain(intermediates);
        if shows.into_iter().any(|shown| self.pinned.contains(shown)) {
            return Ok(verified);
        }
        let anchored = self.anchored.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        anchored.map_err(|_| Error::General(NOT_PINNED.into()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trusted
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trusted
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trusted.supported_verify_schemes()
    }
}

/// Why a server that is trusted otherwise is not believed.
const NOT_PINNED: &str =
    "no certificate that the enrolment profile pins stands behind the server's certificate";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::authority::{Authority, LOCAL_NAMES, certificates_of};
    use crate::engine::clock::wall_now;
    use crate::engine::identity::roots_of_pem;

    #[test]
    fn a_trusted_server_is_believed_only_if_a_pinned_certificate_stands_behind_it() {
        let (ours, _) = Authority::create("ours", wall_now()).unwrap();
        let (other, _) = Authority::create("other", wall_now()).unwrap();
        let root = |authority: &Authority| certificates_of(&authority.certificate_pem()).unwrap();
        let leaf = ours.server_certificate(&LOCAL_NAMES, wall_now()).unwrap();
        let seconds = u64::try_from(wall_now().unix_seconds()).unwrap();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let name = ServerName::try_from("localhost").unwrap();
        let believed = |roots: &Authority, pinned: &[CertificateDer<'static>]| {
            let pins = Pins::new(roots_of_pem(&roots.certificate_pem()).unwrap(), pinned);
            let pins = pins.unwrap();
            pins.verify_server_cert(&leaf.chain[0], &[], &name, &[], now)
                .map_err(|error| error.to_string())
        };
        assert!(believed(&ours, &root(&ours)).is_ok());
        assert!(believed(&ours, &leaf.chain[..1]).is_ok());
        let unpinned = believed(&ours, &root(&other)).unwrap_err();
        assert!(unpinned.contains("profile pins"), "{unpinned}");
        // A pin is no trust.
        assert!(believed(&other, &leaf.chain[..1]).is_err());
    }
}
