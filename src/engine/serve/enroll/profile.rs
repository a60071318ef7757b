//! Enrolment profiles: where the server is, and how a device gets the identity it comes with.

use uuid::Uuid;

use super::{Asked, Enrolling};
use crate::engine::serve::IdentityMode;
use crate::protocol::profile::{
    AcmePayload, Identity, Key, MdmPayload, Profile, ScepPayload, Subject,
};

/// How a profile gives an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// By SCEP.
    Scep,
    /// By ACME, for the device that calls itself this.
    Acme(String),
}

/// Who is to enrol with a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) by: By,
    /// Whether it is a user's own device, which is known by its enrolment alone.
    pub(super) is_user_enrollment: bool,
    /// The Managed Apple Account it is enrolled for.
    pub(super) account: Option<String>,
}

impl Wanted {
    /// A device of the organisation, by SCEP.
    pub(super) const USUAL: Self = Self {
        by: By::Scep,
        is_user_enrollment: false,
        account: None,
    };

    /// What a query asks for: `by=acme&id=SERIAL`.
    pub(super) fn of_query(asked: &Asked) -> Self {
        let by = match (asked.parameter("by").as_deref(), asked.parameter("id")) {
            (Some("acme"), Some(id)) => By::Acme(id),
            (Some(_) | None, _) => By::Scep,
        };
        Self { by, ..Self::USUAL }
    }
}

/// All thirteen access rights.
const ACCESS_RIGHTS: u16 = 8191;
/// MicroMDM's, with our own name.
const SUBJECT: &str = "O=mdmstorm/CN=mdmstorm Identity (%ComputerName%)";
/// The waiting time of a pending request: short, because nobody has to be asked here.
const RETRY_DELAY: std::time::Duration = std::time::Duration::from_secs(1);

impl Enrolling {
    /// The profile that enrols a device, as XML.
    pub(super) fn enrollment_profile(
        &self,
        base: &str,
        topic: String,
        wanted: Wanted,
    ) -> Result<Vec<u8>, &'static str> {
        let identity_uuid = uuid(base, "identity");
        let identity = match wanted.by {
            By::Scep => self.scep_payload(base)?,
            By::Acme(client_identifier) => Identity::Acme(AcmePayload {
                directory: format!("{base}/acme/directory"),
                client_identifier,
                key: Key::Ec(384),
                hardware_bound: true,
                attest: true,
                subject: subject(),
                alt_names: Vec::new(),
            }),
        };
        let mdm = MdmPayload {
            server_url: format!("{base}/mdm"),
            checkin_url: Some(format!("{base}/mdm")),
            topic,
            identity_uuid: identity_uuid.clone(),
            sign_message: self.identity == IdentityMode::Signature,
            access_rights: ACCESS_RIGHTS,
            check_out_when_removed: true,
            capabilities: [
                MdmPayload::PER_USER_CONNECTIONS,
                MdmPayload::BOOTSTRAP_TOKEN,
                MdmPayload::GET_TOKEN,
            ]
            .map(str::to_owned)
            .to_vec(),
            is_user_enrollment: wanted.is_user_enrollment,
            account: wanted.account,
            server_pins: Vec::new(),
            checkin_pins: Vec::new(),
        };
        let profile = Profile {
            mdm: Some(mdm),
            identities: vec![(identity_uuid, identity)],
            ..named(base, "enrollment")
        };
        Ok(profile.encode())
    }

    /// A profile that gives an identity by SCEP and nothing else: the second phase over the air.
    pub(super) fn identity_profile(&self, base: &str) -> Result<Vec<u8>, &'static str> {
        let profile = Profile {
            identities: vec![(uuid(base, "identity"), self.scep_payload(base)?)],
            ..named(base, "identity")
        };
        Ok(profile.encode())
    }

    fn scep_payload(&self, base: &str) -> Result<Identity, &'static str> {
        Ok(Identity::Scep(ScepPayload {
            url: format!("{base}/scep"),
            ca_name: None,
            subject: subject(),
            alt_names: Vec::new(),
            challenge: self.challenges().give()?,
            key_size: 2048,
            key_usage: 5,
            fingerprint: Some(self.issuer.fingerprint()),
            retries: ScepPayload::RETRIES,
            retry_delay: RETRY_DELAY,
        }))
    }
}

fn subject() -> Subject {
    Subject::parse(SUBJECT).expect("the subject is a name")
}

fn named(base: &str, name: &str) -> Profile {
    Profile {
        identifier: format!("org.mdmstorm.{name}"),
        uuid: uuid(base, name),
        name: Some("mdmstorm".to_owned()),
        organization: Some("mdmstorm".to_owned()),
        ..Profile::default()
    }
}

/// The same for the same server each time: a profile that is fetched again is the same profile.
pub(super) fn uuid(base: &str, name: &str) -> String {
    let url = format!("{base}/{name}");
    let uuid = Uuid::new_v5(&Uuid::NAMESPACE_URL, url.as_bytes());
    uuid.hyphenated().to_string().to_uppercase()
}
