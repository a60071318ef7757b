//! What a device makes of the authority's answer (CertRep, RFC 8894 3.3.2).

use super::request::{Asking, PkiRequest};
use super::{
    ANSWER, FAIL_INFO, FAIL_TEXT, FailInfo, MESSAGE_TYPE, RECIPIENT_NONCE, STATUS, ScepError,
    transaction_of,
};
use crate::engine::pki::enveloped_data::{Cipher, opened};
use crate::engine::pki::signed_data;

/// An answer that is the authority's, and to the question that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PkiAnswer {
    /// Here it is.
    Issued {
        /// The certificate for the key that was sent, as DER.
        certificate: Vec<u8>,
        /// What else came along, as DER: those between it and a root.
        others: Vec<Vec<u8>>,
        /// What the answer was encrypted with.
        cipher: Cipher,
    },
    /// Somebody has to look at it first: ask again later.
    Pending,
    /// No.
    Refused {
        /// Why, by number.
        why: FailInfo,
        /// Why, in words, if there are any.
        text: Option<String>,
    },
}

/// A text of a refusal is cut here.
const TEXT_MAX: usize = 200;

impl PkiAnswer {
    /// Reads the answer to `sent`. The key and certificate of `asking` are those that it was sent with.
    pub fn read(message: &[u8], sent: &PkiRequest, asking: &Asking<'_>) -> Result<Self, ScepError> {
        let signed = signed_data::read(message)?;
        let signer = signed.verify(asking.authority.all())?;
        if !asking.authority.vouches_for(&signer.certificate) {
            return Err(ScepError::Signer(signer.certificate.subject()));
        }
        if signer.attribute(MESSAGE_TYPE) != Some(ANSWER.as_bytes()) {
            return Err(ScepError::Attribute("messageType"));
        }
        let found = transaction_of(&signer)?;
        if found != sent.transaction {
            return Err(ScepError::Transaction {
                expected: sent.transaction.clone(),
                found,
            });
        }
        if signer.attribute(RECIPIENT_NONCE) != Some(&sent.nonce) {
            return Err(ScepError::Nonce);
        }
        match signer.attribute(STATUS) {
            Some(b"0") => issued(signed.content().unwrap_or_default(), sent, asking),
            Some(b"2") => Ok(Self::Refused {
                why: FailInfo::of(signer.attribute(FAIL_INFO)),
                text: signer.attribute(FAIL_TEXT).map(|text| {
                    String::from_utf8_lossy(&text[..text.len().min(TEXT_MAX)]).into_owned()
                }),
            }),
            Some(b"3") => Ok(Self::Pending),
            Some(_) | None => Err(ScepError::Attribute("pkiStatus")),
        }
    }
}

fn issued(content: &[u8], sent: &PkiRequest, asking: &Asking<'_>) -> Result<PkiAnswer, ScepError> {
    let (cipher, plain) = opened(content, asking.key, asking.certificate)?;
    let carried = signed_data::read(&plain)?;
    // By its key, not by its place: the certificates of a message have no order.
    let all = carried.certificates();
    let ours = all.iter().find(|it| it.public_key() == sent.public_key);
    let ours = ours.ok_or(ScepError::NotOurs(all.len()))?;
    let others = all.iter().filter(|it| *it != ours);
    Ok(PkiAnswer::Issued {
        certificate: ours.der().to_vec(),
        others: others.map(|it| it.der().to_vec()).collect(),
        cipher,
    })
}
