//! What the server has seen of each device's enrolment, for those who check that none was lost or
//! enrolled twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::engine::identity::sha256;
use crate::protocol::checkin::CheckIn;
use crate::reference_server::Identity;

/// How a certificate was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Means {
    /// SCEP.
    Scep,
    /// SCEP, with a challenge that was good for this one certificate.
    ScepOnce,
    /// SCEP, by a device that renewed the one it had.
    ScepRenewal,
    /// ACME.
    Acme,
}

/// Devices, and certificates that were issued to them.
#[derive(Debug, Default)]
pub(super) struct Register {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    devices: BTreeMap<String, Device>,
    certificates: BTreeMap<[u8; 32], Certificate>,
    refused: BTreeMap<&'static str, u64>,
    pending: u64,
}

#[derive(Debug, Default)]
struct Device {
    /// Authenticates that were taken.
    authenticates: u32,
    /// The certificates they were made with.
    identities: BTreeSet<[u8; 32]>,
    is_enrolled: bool,
}

#[derive(Debug)]
struct Certificate {
    means: Means,
    /// Whether a TokenUpdate was taken that was made with it.
    has_enrolled: bool,
}

impl Register {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder of this lock panics")
    }

    /// A check-in message was taken.
    pub(super) fn checked_in(&self, identity: Identity, body: &[u8]) {
        let Ok(message) = CheckIn::decode(body) else {
            return;
        };
        let mut seen = self.seen();
        match message {
            CheckIn::Authenticate(message) => {
                let device = seen.devices.entry(message.udid.to_string()).or_default();
                device.authenticates = device.authenticates.saturating_add(1);
                device.identities.insert(identity.0);
                device.is_enrolled = false;
            }
            CheckIn::TokenUpdate(message) if message.user.is_none() => {
                if let Some(device) = seen.devices.get_mut(&*message.udid) {
                    device.is_enrolled = true;
                }
                if let Some(certificate) = seen.certificates.get_mut(&identity.0) {
                    certificate.has_enrolled = true;
                }
            }
            CheckIn::TokenUpdate(_)
            | CheckIn::UserAuthenticate(_)
            | CheckIn::SetBootstrapToken(_)
            | CheckIn::GetBootstrapToken(_)
            | CheckIn::GetToken(_)
            | CheckIn::ReturnToService(_)
            | CheckIn::DeclarativeManagement(_) => {}
            CheckIn::CheckOut(message) => {
                if let Some(device) = seen.devices.get_mut(&*message.udid) {
                    device.is_enrolled = false;
                }
            }
        }
    }

    /// A certificate was issued.
    pub(super) fn issued(&self, certificate: &[u8], means: Means) {
        let has_enrolled = false;
        let certificate_is = Certificate {
            means,
            has_enrolled,
        };
        let mut seen = self.seen();
        seen.certificates
            .insert(sha256(certificate), certificate_is);
    }

    /// A request for a certificate was refused.
    pub(super) fn refused(&self, means: Means) {
        *self.seen().refused.entry(means.protocol()).or_default() += 1;
    }

    /// A request for a certificate was told to wait.
    pub(super) fn told_to_wait(&self) {
        self.seen().pending += 1;
    }

    /// Everything, or of the devices only `udid`.
    pub(super) fn json(&self, udid: Option<&str>, challenges: (u64, u64)) -> Value {
        let seen = self.seen();
        let devices = seen.devices.iter();
        let wanted = devices.filter(|(id, _)| udid.is_none_or(|udid| udid == *id));
        let shown: Vec<Value> = wanted.map(|(id, device)| seen.shown(id, device)).collect();
        let count = |is_counted: &dyn Fn(&Device) -> bool| {
            let devices = seen.devices.values();
            devices.filter(|device| is_counted(device)).count()
        };
        let issued = |means: &[Means]| {
            let certificates = seen.certificates.values();
            certificates.filter(|it| means.contains(&it.means)).count()
        };
        let burnt = seen.certificates.values();
        let burnt = burnt.filter(|it| it.means == Means::ScepOnce && !it.has_enrolled);
        let refused = |protocol| seen.refused.get(protocol).copied().unwrap_or_default();
        let (challenges_issued, challenges_used) = challenges;
        json!({
            "devices": shown,
            "totals": {
                "devices": seen.devices.len(),
                "enrolled": count(&|device| device.is_enrolled),
                "authenticates": seen.devices.values().map(|it| u64::from(it.authenticates)).sum::<u64>(),
                "under-several-identities": count(&|device| device.identities.len() > 1),
            },
            "scep": {
                "issued": issued(&[Means::Scep, Means::ScepOnce, Means::ScepRenewal]),
                "renewed": issued(&[Means::ScepRenewal]),
                "refused": refused("scep"),
                "pending": seen.pending,
            },
            "acme": { "issued": issued(&[Means::Acme]), "refused": refused("acme") },
            "challenges": {
                "issued": challenges_issued,
                "used": challenges_used,
                "burnt": burnt.count(),
            },
        })
    }
}

impl Seen {
    fn shown(&self, id: &str, device: &Device) -> Value {
        let identities = device.identities.iter();
        let from_us = identities.filter(|it| self.certificates.contains_key(*it));
        json!({
            "udid": id,
            "authenticates": device.authenticates,
            "identities": device.identities.len(),
            "certificates": from_us.count(),
            "enrolled": device.is_enrolled,
        })
    }
}

impl Means {
    const fn protocol(self) -> &'static str {
        match self {
            Self::Scep | Self::ScepOnce | Self::ScepRenewal => "scep",
            Self::Acme => "acme",
        }
    }
}
