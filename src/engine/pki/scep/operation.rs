//! The other side: what our own authority reads of a PKIOperation, and what it answers.

use aws_lc_rs::rand;

use super::{
    ANSWER, FAIL_INFO, FailInfo, MESSAGE_TYPE, Purpose, RECIPIENT_NONCE, SENDER_NONCE, STATUS,
    ScepError, TRANSACTION, octets, text, transaction_of,
};
use crate::engine::authority::Authority;
use crate::engine::pki::certificate::Certificate;
use crate::engine::pki::enveloped_data::{Cipher, envelope, open};
use crate::engine::pki::request::Request;
use crate::engine::pki::signed_data::{self, Signing, certificates_only, sign};
use crate::time::WallTime;

/// A message of a device, signed by it and opened.
#[derive(Clone, Debug)]
pub struct Operation {
    /// What it is for.
    pub purpose: Purpose,
    /// The transaction, by which a poll finds its request.
    pub transaction: String,
    /// The certificate it is signed with: self-signed, or that which is to be renewed.
    pub signer: Certificate,
    /// When the device believes it is.
    pub signing_time: Option<WallTime>,
    /// What is asked for; `None` of a poll.
    pub request: Option<Request>,
    nonce: Vec<u8>,
}

/// A nonce has 16 bytes; a hostile one is not echoed at any length.
const NONCE_MAX: usize = 64;

impl Operation {
    /// Reads a PKIOperation to `authority`, which has an RSA key.
    pub fn read(message: &[u8], authority: &Authority) -> Result<Self, ScepError> {
        let signed = signed_data::read(message)?;
        let signer = signed.verify(&[])?;
        let purpose = match signer.attribute(MESSAGE_TYPE) {
            Some(b"17") => Purpose::Renew,
            Some(b"19") => Purpose::Enroll,
            Some(b"20") => Purpose::Poll,
            Some(_) | None => return Err(ScepError::Attribute("messageType")),
        };
        let nonce = signer.attribute(SENDER_NONCE);
        let nonce = nonce.filter(|nonce| nonce.len() <= NONCE_MAX);
        let nonce = nonce.ok_or(ScepError::Attribute("senderNonce"))?.to_vec();
        let own = Certificate::read(authority.certificate())?;
        let plain = open(signed.content().unwrap_or_default(), authority.key(), &own)?;
        let request = match purpose {
            Purpose::Enroll | Purpose::Renew => Some(Request::read(&plain)?),
            Purpose::Poll => None,
        };
        Ok(Self {
            purpose,
            transaction: transaction_of(&signer)?,
            signing_time: signer.signing_time,
            signer: signer.certificate,
            request,
            nonce,
        })
    }

    /// The answer with the certificate (DER), encrypted to the asker with `cipher`.
    pub fn grant(
        &self,
        certificate: &[u8],
        cipher: Cipher,
        authority: &Authority,
        now: WallTime,
    ) -> Result<Vec<u8>, ScepError> {
        let carried = certificates_only(&[certificate.to_vec()]);
        let sealed = envelope(&carried, &self.signer, cipher)?;
        self.answer("0", None, &sealed, authority, now)
    }

    /// The answer that the asker has to wait.
    pub fn postpone(&self, authority: &Authority, now: WallTime) -> Result<Vec<u8>, ScepError> {
        self.answer("3", None, &[], authority, now)
    }

    /// The answer that there will be no certificate.
    pub fn refuse(
        &self,
        why: FailInfo,
        authority: &Authority,
        now: WallTime,
    ) -> Result<Vec<u8>, ScepError> {
        self.answer("2", Some(why), &[], authority, now)
    }

    fn answer(
        &self,
        status: &str,
        why: Option<FailInfo>,
        content: &[u8],
        authority: &Authority,
        now: WallTime,
    ) -> Result<Vec<u8>, ScepError> {
        let mut nonce = [0; 16];
        rand::fill(&mut nonce).expect("the operating system gives random bytes");
        let mut attributes = vec![
            text(MESSAGE_TYPE, ANSWER),
            text(STATUS, status),
            text(TRANSACTION, &self.transaction),
            octets(SENDER_NONCE, &nonce),
            octets(RECIPIENT_NONCE, &self.nonce),
        ];
        attributes.extend(why.map(|why| text(FAIL_INFO, why.code())));
        let signing = Signing {
            key: authority.key(),
            certificate: authority.certificate(),
            others: &[],
            at: now,
            attributes: &attributes,
        };
        Ok(sign(content, &signing)?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::authority::Term;
    use crate::engine::pki::draft::self_signed;
    use crate::engine::pki::keys::{DeviceKey, KeyKind};
    use crate::engine::pki::name::Name;
    use crate::engine::pki::request::Wish;
    use crate::engine::pki::scep::answer::PkiAnswer;
    use crate::engine::pki::scep::authority::CaCertificates;
    use crate::engine::pki::scep::request::{Asking, PkiRequest};

    const NOW: WallTime = WallTime::from_unix_micros(1_790_000_000_000_000);

    /// A device that knows an authority.
    struct Rig {
        authority: Authority,
        known: CaCertificates,
        key: DeviceKey,
        certificate: Certificate,
        request: Vec<u8>,
    }

    impl Rig {
        fn new() -> Self {
            let (authority, _) = Authority::create_of(KeyKind::Rsa2048, "SCEP", NOW).unwrap();
            let known = CaCertificates::read(authority.certificate()).unwrap();
            let key = DeviceKey::generate(KeyKind::Rsa2048).unwrap();
            let subject = Name::common("device").to_der().unwrap();
            let certificate = self_signed(&key, &subject, NOW).unwrap();
            let certificate = Certificate::read(&certificate).unwrap();
            let wish = Wish {
                subject: &subject,
                challenge: Some("open sesame"),
                ..Wish::default()
            };
            let request = wish.sign(&key).unwrap();
            Self {
                authority,
                known,
                key,
                certificate,
                request,
            }
        }

        fn asking(&self) -> Asking<'_> {
            Asking {
                authority: &self.known,
                cipher: Cipher::Aes128,
                key: &self.key,
                certificate: &self.certificate,
                at: NOW,
            }
        }

        fn ask(&self) -> (PkiRequest, Operation) {
            let key = self.key.public_key();
            let sent = PkiRequest::ask(Purpose::Enroll, &self.request, key, &self.asking());
            let sent = sent.unwrap();
            let read = Operation::read(&sent.message, &self.authority).unwrap();
            (sent, read)
        }

        fn read(&self, answer: &[u8], sent: &PkiRequest) -> Result<PkiAnswer, ScepError> {
            PkiAnswer::read(answer, sent, &self.asking())
        }
    }

    #[test]
    fn a_device_asks_and_gets_its_certificate_with_every_cipher() {
        let rig = Rig::new();
        let (sent, read) = rig.ask();
        assert_eq!(read.purpose, Purpose::Enroll);
        let request = read.request.as_ref().unwrap();
        assert_eq!(request.challenge.as_deref(), Some("open sesame"));
        let term = Term {
            now: NOW,
            back_date: Duration::from_secs(600),
            life: Duration::from_secs(86_400),
        };
        let issued = rig.authority.issue_csr(request, term).unwrap();
        for wanted in [
            Cipher::Aes128,
            Cipher::Aes256,
            Cipher::TripleDes,
            Cipher::Des,
        ] {
            let answer = read.grant(&issued, wanted, &rig.authority, NOW).unwrap();
            let answer = rig.read(&answer, &sent).unwrap();
            let PkiAnswer::Issued {
                certificate,
                others,
                cipher,
            } = answer
            else {
                panic!("{answer:?}");
            };
            assert_eq!((certificate, cipher), (issued.clone(), wanted));
            assert!(others.is_empty());
        }
        let issued = Certificate::read(&issued).unwrap();
        assert!(issued.is_signed_by(rig.known.recipient()));
        assert_eq!(issued.common_name().as_deref(), Some("device"));
    }

    #[test]
    fn a_device_is_refused_or_has_to_wait_and_polls() {
        let rig = Rig::new();
        let (sent, read) = rig.ask();
        let no = read.refuse(FailInfo::Request, &rig.authority, NOW).unwrap();
        let (why, text) = (FailInfo::Request, None);
        assert_eq!(rig.read(&no, &sent), Ok(PkiAnswer::Refused { why, text }));
        let wait = read.postpone(&rig.authority, NOW).unwrap();
        assert_eq!(rig.read(&wait, &sent), Ok(PkiAnswer::Pending));
        let poll = PkiRequest::poll(rig.key.public_key(), &rig.asking()).unwrap();
        let asked = Operation::read(&poll.message, &rig.authority).unwrap();
        assert_eq!(asked.purpose, Purpose::Poll);
        assert_eq!(asked.transaction, sent.transaction);
        // What answers the first question is no answer to the second.
        assert_eq!(rig.read(&wait, &poll), Err(ScepError::Nonce));
    }

    #[test]
    fn answers_of_others_and_for_others_do_not_count() {
        let (rig, other) = (Rig::new(), Rig::new());
        let (sent, read) = rig.ask();
        let forged = read.postpone(&other.authority, NOW).unwrap();
        let refused = rig.read(&forged, &sent).unwrap_err();
        assert!(matches!(refused, ScepError::Signer(_)), "{refused}");
        let strangers = other.certificate.der();
        let answer = read
            .grant(strangers, Cipher::Des, &rig.authority, NOW)
            .unwrap();
        assert_eq!(rig.read(&answer, &sent), Err(ScepError::NotOurs(1)));
        let (_, theirs) = other.ask();
        assert!(Operation::read(&sent.message, &other.authority).is_err());
        let answer = theirs.postpone(&rig.authority, NOW).unwrap();
        let refused = rig.read(&answer, &sent).unwrap_err();
        assert!(
            matches!(refused, ScepError::Transaction { .. }),
            "{refused}"
        );
    }

    #[test]
    fn an_authority_with_a_curve_cannot_be_asked() {
        let (authority, _) = Authority::create("EC", NOW).unwrap();
        let refused = CaCertificates::read(authority.certificate());
        assert_eq!(refused, Err(ScepError::NoRecipient));
        let none = CaCertificates::read(&certificates_only(&[]));
        assert_eq!(none, Err(ScepError::NoCertificates));
        assert_eq!(ScepError::NoRecipient.name(), "ca-key-not-rsa");
    }
}
