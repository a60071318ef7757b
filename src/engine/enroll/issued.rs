//! An identity that mdmstorm issues itself, while the run lasts: a renewed one, or that of a device
//! that was erased.

use rustls::pki_types::PrivateKeyDer;

use super::refusal::{Name, Stop};
use crate::engine::authority::Authority;
use crate::engine::identity::OwnIdentity;
use crate::time::WallTime;

/// A new identity for the device with this UDID, valid from a little before `now`, which is the
/// right time: the authority's clock is not the device's.
pub(super) fn mint(authority: &Authority, udid: &str, now: WallTime) -> Result<OwnIdentity, Stop> {
    let minted = authority.device_certificate(udid, now);
    let minted = minted.map_err(|error| Stop::never(Name::KeyUnavailable, error.to_string()))?;
    let PrivateKeyDer::Pkcs8(key) = &minted.key else {
        unreachable!("the authority makes PKCS#8 keys");
    };
    Ok(OwnIdentity {
        key: key.secret_pkcs8_der().into(),
        chain: minted.chain.clone(),
        doors: None,
    })
}
