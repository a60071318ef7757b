//! Whether a device is one that was made by who we trust to make devices: its first certificate, and
//! what it signs with it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use plist::{Dictionary, Value};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;

use crate::engine::clock::wall_now;
use crate::engine::pki::signed_data;
use crate::protocol::plist::decode;

/// The authority that vouches for devices, in the place of Apple's.
pub(in crate::engine::serve) struct Vouching {
    verifier: Arc<dyn ClientCertVerifier>,
}

impl fmt::Debug for Vouching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vouching").finish_non_exhaustive()
    }
}

/// What was signed, and by whom.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) content: Vec<u8>,
    /// The signer's certificate, then the others that came along.
    pub(super) signer: Vec<CertificateDer<'static>>,
}

impl Vouching {
    pub(in crate::engine::serve) fn new(verifier: Arc<dyn ClientCertVerifier>) -> Self {
        Self { verifier }
    }

    /// Whether the first certificate of `chain` was issued by who vouches for devices.
    pub(super) fn trust(&self, chain: &[CertificateDer<'static>]) -> Result<(), String> {
        is_from(&*self.verifier, chain)
            .map_err(|error| format!("nobody we know vouches for this device: {error}"))
    }

    /// MachineInfo that a device we know of has signed.
    pub(super) fn signed_machine_info(&self, signed: &[u8]) -> Result<Dictionary, String> {
        let Signed { content, signer } = open(signed)?;
        self.trust(&signer)?;
        dictionary(&content)
    }

    /// MachineInfo, signed or not: a user's own device may send it plainly.
    pub(super) fn machine_info(&self, body: &[u8]) -> Result<Dictionary, String> {
        match dictionary(body) {
            Ok(machine) => Ok(machine),
            Err(_) => self.signed_machine_info(body),
        }
    }
}

/// Whether one of the authorities of `verifier` issued the first certificate of `chain`.
pub(super) fn is_from(
    verifier: &dyn ClientCertVerifier,
    chain: &[CertificateDer<'static>],
) -> Result<(), String> {
    let seconds = u64::try_from(wall_now().unix_seconds()).unwrap_or(0);
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let (leaf, between) = chain.split_first().ok_or("there is no certificate")?;
    let verified = verifier.verify_client_cert(leaf, between, now);
    verified.map(|_| ()).map_err(|error| error.to_string())
}

fn dictionary(body: &[u8]) -> Result<Dictionary, String> {
    match decode(body) {
        Ok(Value::Dictionary(machine)) => Ok(machine),
        Ok(_) => Err("what was signed is no dictionary".to_owned()),
        Err(error) => Err(format!("what was signed: {error}")),
    }
}

/// What a signed message holds, once its signature has been checked.
pub(super) fn open(message: &[u8]) -> Result<Signed, String> {
    let message = signed_data::read(message).map_err(|error| error.to_string())?;
    let signer = message.verify(&[]).map_err(|error| error.to_string())?;
    let content = message
        .content()
        .ok_or("there is nothing that was signed")?;
    let others = message.certificates().iter();
    let others = others.filter(|it| **it != signer.certificate);
    let chain = std::iter::once(&signer.certificate).chain(others);
    Ok(Signed {
        content: content.to_vec(),
        signer: chain
            .map(|it| CertificateDer::from(it.der().to_vec()))
            .collect(),
    })
}
