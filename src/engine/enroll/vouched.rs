//! What a device signs before it is enrolled: with the certificate that its maker gave it, in the
//! place of which stands one of our own authority.

use super::bearer::Bearer;
use super::refusal::{Name, Stop};
use super::{Enroller, issued};
use crate::engine::identity::OwnIdentity;
use crate::engine::pki::keys::DeviceKey;
use crate::engine::pki::signed_data::{Signing, sign};
use crate::scenario::Method;

/// The name in the certificate of a device that does not say which it is.
const ANONYMOUS: &str = "Device Identity";

impl Enroller {
    /// `content`, signed as the maker's certificate would. An account-driven device keeps its names to
    /// itself, there as well.
    pub(super) fn vouched(&self, content: &[u8], bearer: &Bearer) -> Result<Vec<u8>, Stop> {
        let right = self.clock.epoch().wall(self.clock.now());
        let name = match &self.way.enrollment.method {
            Method::AccountDriven { .. } => ANONYMOUS,
            Method::Issued
            | Method::Scep(_)
            | Method::Acme(_)
            | Method::Profile(_)
            | Method::Ota(_)
            | Method::Automated { .. } => &bearer.names.udid,
        };
        let identity = issued::mint(&self.way.authority, name, right)?;
        let authority = self.way.authority.certificate().to_vec();
        self.signed(content, &identity, &[authority], bearer)
    }

    /// `content`, signed with `identity` at the time that the device believes in.
    pub(super) fn signed(
        &self,
        content: &[u8],
        identity: &OwnIdentity,
        others: &[Vec<u8>],
        bearer: &Bearer,
    ) -> Result<Vec<u8>, Stop> {
        let key = DeviceKey::from_pkcs8(&identity.key);
        let key = key.map_err(|error| Stop::never(Name::KeyUnavailable, error.to_string()))?;
        let signing = Signing {
            key: &key,
            certificate: &identity.chain[0],
            others,
            at: bearer.wall(self.clock),
            attributes: &[],
        };
        let signed = sign(content, &signing);
        signed.map_err(|error| Stop::never(Name::KeyUnavailable, error.to_string()))
    }
}
