//! By which way the devices of a run come by their identities: made once, shared by all workers.

use std::sync::Arc;

use super::profile::Laid;
use crate::engine::authority::Authority;
use crate::engine::pki::key_maker::KeyMaker;
use crate::ids::DeviceId;
use crate::protocol::profile::{AcmePayload, Identity, Key, Names, ScepPayload, Subject};
use crate::scenario::{self, Acme, Enrollment, Scep};

/// What all errands of a run have in common.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Way {
    pub(in crate::engine) enrollment: Enrollment,
    /// Scheme, host and port of the target.
    pub(in crate::engine) target: String,
    /// Signs what is issued, and vouches for devices that are not enrolled yet.
    pub(in crate::engine) authority: Arc<Authority>,
    /// The challenge of SCEP, or the access token of an account.
    pub(in crate::engine) secret: Option<String>,
    /// What is in the file that the scenario names.
    pub(in crate::engine) file: Option<Vec<u8>>,
    /// What the profile lays down for all devices; `None` before it was fetched, and where there is
    /// none.
    pub(in crate::engine) laid: Option<Laid>,
    /// Whose name it was fetched in, where that has used something up and the device may have it.
    pub(in crate::engine) made_out_to: Option<DeviceId>,
    /// Where keys come from.
    pub(in crate::engine) keys: Arc<KeyMaker>,
}

impl Way {
    /// Where `written` leads: a path is one at the target, and the beginnings of URLs are replaced as
    /// the scenario has it.
    pub(super) fn url(&self, written: &str, names: &Names) -> String {
        let filled = names.fill(written);
        if filled.starts_with('/') {
            return format!("{}{filled}", self.target);
        }
        self.enrollment.rewritten(&filled)
    }

    /// The payload that SCEP without a profile stands for.
    pub(super) fn scep(&self, scep: &Scep, names: &Names) -> Identity {
        Identity::Scep(ScepPayload {
            url: self.url(&scep.url, names),
            ca_name: scep.ca_name.clone(),
            subject: scep.subject.map(|value| names.fill(value)),
            alt_names: Vec::new(),
            challenge: self.secret.clone(),
            key_size: scep.key_size,
            key_usage: 5,
            fingerprint: scep.fingerprint.clone(),
            retries: ScepPayload::RETRIES,
            retry_delay: ScepPayload::RETRY_DELAY,
        })
    }

    /// The payload that ACME without a profile stands for.
    pub(super) fn acme(&self, acme: &Acme, names: &Names) -> Identity {
        let key = match acme.key {
            scenario::KeyKind::Ec(bits) => Key::Ec(bits),
            scenario::KeyKind::Rsa(bits) => Key::Rsa(bits),
        };
        let is_bound = matches!(key, Key::Ec(256 | 384));
        let client_identifier = names.fill(&acme.client_identifier);
        // The one common name that no server takes offence at.
        let subject = Subject(vec![vec![("CN".to_owned(), client_identifier.clone())]]);
        Identity::Acme(AcmePayload {
            directory: self.url(&acme.directory, names),
            client_identifier,
            key,
            hardware_bound: is_bound,
            attest: is_bound,
            subject,
            alt_names: Vec::new(),
        })
    }
}
