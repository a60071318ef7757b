//! An identity that stands in the profile itself, key and all: the same for whoever has the profile.

use super::refusal::{Name, Stop};
use crate::engine::identity::OwnIdentity;
use crate::engine::pki::pkcs12::Pkcs12;
use crate::protocol::profile::Pkcs12Payload;

/// The identity in `payload`.
pub(super) fn read(payload: &Pkcs12Payload) -> Result<OwnIdentity, Stop> {
    let read = Pkcs12::read(&payload.content, &payload.password);
    let read = read.map_err(|error| Stop::never(Name::ImpossiblePayload, error.to_string()))?;
    Ok(OwnIdentity {
        key: read.key.pkcs8().into(),
        chain: read.chain(),
        doors: None,
    })
}
