//! The authority that issues identities, and who answers for it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;

use super::EnrollmentSettings;
use crate::engine::authority::{Authority, Credential, Term, pem};
use crate::engine::clock::wall_now;
use crate::engine::pki::keys::DeviceKey;
use crate::engine::pki::request::Request;
use crate::engine::pki::signed_data::{Signing, sign};
use crate::engine::serve::ServeError;
use crate::engine::serve::peer::verifier;
use crate::scenario::AuthorityForm;

/// Issues identities.
pub(super) struct Issuer {
    authority: Authority,
    /// Who answers in the place of the authority, when GetCACert answers with a chain.
    agent: Option<Authority>,
    issued: Arc<dyn ClientCertVerifier>,
    back_date: Duration,
    life: Duration,
}

/// A certificate that was issued.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) der: Vec<u8>,
    /// The certificate and the one that signed it.
    pub(super) chain_pem: String,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").finish_non_exhaustive()
    }
}

impl Issuer {
    pub(super) fn new(settings: &EnrollmentSettings) -> Result<Self, ServeError> {
        let now = wall_now();
        let authority = Authority::load(&settings.certificate, &settings.key, now)?;
        if authority.key().kind().rsa_bits().is_none() {
            let kind = authority.key().kind();
            return Err(ServeError::Issuer(format!(
                "its key is {kind}, but devices encrypt SCEP requests to it, which takes RSA"
            )));
        }
        let mut issuer = Self {
            authority,
            agent: None,
            issued: verifier(&settings.certificate)?,
            back_date: settings.rules.back_date,
            life: settings.rules.life,
        };
        if settings.rules.authority == AuthorityForm::Chain {
            let name = "mdmstorm registration authority";
            issuer.agent = Some(issuer.authority.new_agent(name, issuer.term())?);
        }
        Ok(issuer)
    }

    /// SHA-1 of the authority's certificate, as a payload's `CAFingerprint` has it.
    pub(super) fn fingerprint(&self) -> Vec<u8> {
        let algorithm = &digest::SHA1_FOR_LEGACY_USE_ONLY;
        let digest = digest::digest(algorithm, self.authority.certificate());
        digest.as_ref().to_vec()
    }

    /// Whom devices encrypt to, and who signs answers.
    pub(super) fn answering(&self) -> &Authority {
        self.agent.as_ref().unwrap_or(&self.authority)
    }

    /// The certificates of GetCACert: who answers, and the authority if that is somebody else.
    pub(super) fn certificates(&self) -> Vec<Vec<u8>> {
        let all = self.agent.iter().chain([&self.authority]);
        all.map(|it| it.certificate().to_vec()).collect()
    }

    fn term(&self) -> Term {
        Term {
            now: wall_now(),
            back_date: self.back_date,
            life: self.life,
        }
    }

    /// Issues what a request asks for.
    pub(super) fn issue(&self, request: &Request) -> Result<Issued, String> {
        let der = self.authority.issue_csr(request, self.term());
        let der = der.map_err(|error| error.to_string())?;
        let chain = [
            CertificateDer::from(der.as_slice()),
            self.authority.certificate().clone(),
        ];
        Ok(Issued {
            chain_pem: chain.iter().map(|it| pem("CERTIFICATE", it)).collect(),
            der,
        })
    }

    /// Issues what the CSR (DER) asks for, if it is for the key (SubjectPublicKeyInfo, DER) that was
    /// attested, or if none had to be.
    pub(super) fn issue_attested(
        &self,
        csr: &[u8],
        attested: Option<&[u8]>,
    ) -> Result<Issued, String> {
        let request = Request::read(csr).map_err(|error| error.to_string())?;
        if attested.is_some_and(|attested| attested != request.public_key) {
            return Err("the request is for another key than the attested one".to_owned());
        }
        self.issue(&request)
    }

    /// Whether the first certificate of `chain` is one that was issued here, and still good.
    pub(super) fn has_issued(&self, chain: &[CertificateDer<'static>]) -> bool {
        super::vouching::is_from(&*self.issued, chain).is_ok()
    }
}

/// A profile, signed by the server's certificate; the others of its chain come along.
pub(super) fn signed(profile: &[u8], signer: &Credential) -> Result<Vec<u8>, String> {
    let key = DeviceKey::from_pkcs8(signer.key.secret_der()).map_err(|error| error.to_string())?;
    let others: Vec<Vec<u8>> = signer.chain.iter().skip(1).map(|it| it.to_vec()).collect();
    let signing = Signing {
        key: &key,
        certificate: signer.chain.first().ok_or("there is no certificate")?,
        others: &others,
        at: wall_now(),
        attributes: &[],
    };
    sign(profile, &signing).map_err(|error| error.to_string())
}
