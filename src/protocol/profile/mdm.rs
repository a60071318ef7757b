//! The payload `com.apple.mdm`: where the server is, and what it may do (protocol.md 7.1).

use ::plist::{Dictionary, Value};

use super::ProfileError;
use super::keys::{Keys, quoted};

pub(super) const TYPE: &str = "com.apple.mdm";
pub(super) const SERVER_PINS: &str = "ServerURLPinningCertificateUUIDs";
pub(super) const CHECKIN_PINS: &str = "CheckInURLPinningCertificateUUIDs";

/// What every topic for MDM begins with.
const TOPIC_BEGINS: &str = "com.apple.mgmt.";

/// All thirteen access rights.
const RIGHTS_ALL: u32 = 8191;

/// No payload pins more certificates, or has more capabilities.
const LISTED_MAX: usize = 64;

/// The MDM payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MdmPayload {
    /// `ServerURL`.
    pub server_url: String,
    /// `CheckInURL`, when it is another.
    pub checkin_url: Option<String>,
    /// `Topic`: what pushes are sent to.
    pub topic: String,
    /// `IdentityCertificateUUID`: which payload of the profile gives the identity.
    pub identity_uuid: String,
    /// `SignMessage`: whether messages carry a signature; otherwise TLS says who the device is.
    pub sign_message: bool,
    /// `AccessRights`; 8191 is all.
    pub access_rights: u16,
    /// `CheckOutWhenRemoved`.
    pub check_out_when_removed: bool,
    /// `ServerCapabilities`.
    pub capabilities: Vec<String>,
    /// `EnrollmentMode` is `BYOD`, or the older `ManagedAppleID` is there: user enrolment.
    pub is_user_enrollment: bool,
    /// `AssignedManagedAppleID`, or the older `ManagedAppleID`.
    pub account: Option<String>,
    /// `ServerURLPinningCertificateUUIDs`.
    pub server_pins: Vec<String>,
    /// `CheckInURLPinningCertificateUUIDs`.
    pub checkin_pins: Vec<String>,
}

impl MdmPayload {
    /// `com.apple.mdm.per-user-connections`: users have channels of their own.
    pub const PER_USER_CONNECTIONS: &str = "com.apple.mdm.per-user-connections";
    /// `com.apple.mdm.bootstraptoken`: the server keeps bootstrap tokens.
    pub const BOOTSTRAP_TOKEN: &str = "com.apple.mdm.bootstraptoken";
    /// `com.apple.mdm.token`: the server answers GetToken.
    pub const GET_TOKEN: &str = "com.apple.mdm.token";

    /// Whether the server says it can do this.
    pub fn has(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|it| it == capability)
    }

    pub(super) fn read(keys: &mut Keys<'_>) -> Result<Self, ProfileError> {
        let server_url = keys.https("ServerURL")?;
        let server_url = server_url.ok_or_else(|| keys.missing("ServerURL"))?;
        let topic = keys.text("Topic")?.unwrap_or_default();
        let mode = keys.text("EnrollmentMode")?;
        let older = keys.text("ManagedAppleID")?;
        let is_byod = match mode.as_deref() {
            Some("BYOD") => true,
            Some("ADDE") => false,
            None => older.is_some(),
            Some(other) => {
                let right = "it is BYOD or ADDE";
                return Err(keys.impossible("EnrollmentMode", &quoted(other), right));
            }
        };
        let payload = Self {
            server_url,
            checkin_url: keys.https("CheckInURL")?,
            topic: usable_topic(keys, topic.trim())?,
            identity_uuid: keys.required("IdentityCertificateUUID")?,
            sign_message: keys.flag("SignMessage")?,
            access_rights: access_rights(keys, is_byod)?,
            check_out_when_removed: keys.flag("CheckOutWhenRemoved")?,
            capabilities: keys.texts("ServerCapabilities", LISTED_MAX)?,
            is_user_enrollment: is_byod,
            account: keys.text("AssignedManagedAppleID")?.or(older),
            server_pins: keys.texts(SERVER_PINS, LISTED_MAX)?,
            checkin_pins: keys.texts(CHECKIN_PINS, LISTED_MAX)?,
        };
        for unknown in payload.capabilities.iter().filter(|it| !is_known(it)) {
            let what = format!("ServerCapabilities {}", quoted(unknown));
            keys.note(&what, "not a capability that devices are known to look for");
        }
        let gateway = "the gateway takes the place of both of Apple's services";
        keys.ignore("UseDevelopmentAPNS", gateway);
        keys.ignore(
            "RequiredAppIDForMDM",
            "no app is installed before enrolling",
        );
        keys.ignore(
            "PinningRevocationCheckRequired",
            "revocation is not looked up",
        );
        keys.ignore(
            "PromptUserToAllowBootstrapTokenForAuthentication",
            "there is nobody to ask",
        );
        Ok(payload)
    }

    pub(super) fn write(&self) -> Dictionary {
        let mut payload = Dictionary::new();
        let mut put = |key: &str, value: Value| payload.insert(key.into(), value);
        put(
            "AccessRights",
            Value::Integer(u64::from(self.access_rights).into()),
        );
        if let Some(account) = &self.account {
            put("AssignedManagedAppleID", account.as_str().into());
        }
        if let Some(url) = &self.checkin_url {
            put("CheckInURL", url.as_str().into());
        }
        put("CheckOutWhenRemoved", self.check_out_when_removed.into());
        if self.is_user_enrollment {
            put("EnrollmentMode", "BYOD".into());
        }
        put(
            "IdentityCertificateUUID",
            self.identity_uuid.as_str().into(),
        );
        for (key, listed) in [
            ("ServerCapabilities", &self.capabilities),
            (SERVER_PINS, &self.server_pins),
            (CHECKIN_PINS, &self.checkin_pins),
        ] {
            if !listed.is_empty() {
                let listed = listed.iter().map(|it| it.as_str().into());
                put(key, Value::Array(listed.collect()));
            }
        }
        put("ServerURL", self.server_url.as_str().into());
        put("SignMessage", self.sign_message.into());
        put("Topic", self.topic.as_str().into());
        payload
    }
}

fn is_known(capability: &str) -> bool {
    [
        MdmPayload::PER_USER_CONNECTIONS,
        MdmPayload::BOOTSTRAP_TOKEN,
        MdmPayload::GET_TOKEN,
    ]
    .contains(&capability)
}

fn usable_topic(keys: &Keys<'_>, topic: &str) -> Result<String, ProfileError> {
    if topic.is_empty() {
        return Err(ProfileError::NoTopic);
    }
    if !topic.starts_with(TOPIC_BEGINS) {
        let right = format!(
            "topics for MDM begin with {TOPIC_BEGINS}, as the UID of the push certificate does: \
             a device would not listen for pushes"
        );
        return Err(keys.impossible("Topic", &quoted(topic), &right));
    }
    Ok(topic.to_owned())
}

/// `AccessRights`, by the rules of Apple's Configuration Profile Reference: never zero, no 2 without
/// 1, no 128 without 64. User enrolment ignores them.
fn access_rights(keys: &mut Keys<'_>, is_byod: bool) -> Result<u16, ProfileError> {
    const KEY: &str = "AccessRights";
    let Some(rights) = keys.number(KEY)? else {
        if !is_byod {
            keys.note(KEY, "absent, and taken for 8191, all rights");
        }
        return Ok(RIGHTS_ALL as u16);
    };
    if is_byod {
        keys.note(KEY, "devices ignore it in user enrolment");
        return Ok(RIGHTS_ALL as u16);
    }
    let lacks = |right: u32, needed: u32| rights & right != 0 && rights & needed == 0;
    let why = if rights == 0 || rights > RIGHTS_ALL {
        "it is from 1 to 8191"
    } else if lacks(2, 1) {
        "2, to install profiles, needs 1, to list them"
    } else if lacks(128, 64) {
        "128, to add provisioning profiles, needs 64, to list them"
    } else {
        return Ok(rights as u16);
    };
    Err(keys.impossible(KEY, &rights.to_string(), why))
}
