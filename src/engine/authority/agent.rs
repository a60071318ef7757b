//! A registration authority: it answers for an authority that signs certificates (RFC 8894 2.1.2).

use rcgen::{Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::{Authority, AuthorityError, Term};
use crate::engine::pki::draft::{ENCIPHER, SIGN};
use crate::engine::pki::keys::{DeviceKey, KeyKind};
use crate::engine::pki::name::Name;
use crate::engine::pki::request::{Request, Wish};

impl Authority {
    /// A new registration authority with an RSA key, certified by this one: devices encrypt to it,
    /// and it signs the answers, but no certificates.
    pub fn new_agent(&self, name: &str, term: Term) -> Result<Self, AuthorityError> {
        let failed = |why: String| AuthorityError::Issue(why);
        let key = DeviceKey::generate(KeyKind::Rsa2048).map_err(|why| failed(why.to_string()))?;
        let subject = Name::common(name).to_der();
        let subject = subject.map_err(|why| failed(why.to_string()))?;
        let wish = Wish {
            subject: &subject,
            key_usage: SIGN | ENCIPHER,
            ..Wish::default()
        };
        let request = wish.sign(&key).map_err(|why| failed(why.to_string()))?;
        let request = Request::read(&request).map_err(|why| failed(why.to_string()))?;
        let certificate = CertificateDer::from(self.issue_csr(&request, term)?);
        let pair = KeyPair::try_from(&PrivatePkcs8KeyDer::from(key.pkcs8()))?;
        Ok(Self {
            issuer: Issuer::from_ca_cert_der(&certificate, pair)?,
            certificate,
            key,
        })
    }
}
