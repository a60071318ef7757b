//! Configuration profiles, as far as they enrol a device: the MDM payload, the identity it names, and
//! the certificates that it brings along.
//!
//! [`Document::decode`] takes what a server hands out, after a CMS signature around it was taken off.
//! Every key is honoured, or listed in `ignored` with the reason; what no device could use is an
//! error that says what it would come to.

use ::plist::{Dictionary, Value};
use thiserror::Error;

use super::plist::{self, PlistError};

mod certificate;
mod identity;
mod keys;
mod mdm;
mod service;
mod subject;
#[cfg(test)]
mod tests;

pub use self::certificate::{Certificate, CertificateKind};
pub use self::identity::{AcmePayload, Identity, Key, Pkcs12Payload, ScepPayload};
use self::keys::Keys;
pub use self::mdm::MdmPayload;
pub use self::service::{ServicePayload, attributes};
pub use self::subject::{AltName, Names, Subject, SubjectError};

/// The content type of profiles.
pub const PROFILE_CONTENT_TYPE: &str = "application/x-apple-aspen-config";

/// No profile that enrols has more payloads: each is a few keys, and a device shows all of them.
const PAYLOADS_MAX: usize = 256;

/// What a server hands out on the way to an enrolment.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// A configuration profile.
    Profile(Profile),
    /// The bare payload that begins an enrolment over the air.
    Service(ServicePayload),
}

/// A configuration profile, payload by payload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// `PayloadIdentifier`.
    pub identifier: String,
    /// `PayloadUUID`.
    pub uuid: String,
    /// `PayloadDisplayName`.
    pub name: Option<String>,
    /// `PayloadOrganization`.
    pub organization: Option<String>,
    /// The MDM payload, if it has one.
    pub mdm: Option<MdmPayload>,
    /// Payloads that give an identity, each with its `PayloadUUID`.
    pub identities: Vec<(String, Identity)>,
    /// Payloads with a certificate.
    pub certificates: Vec<Certificate>,
    /// What is in it that changes nothing here.
    pub ignored: Vec<Ignored>,
}

/// A profile that enrols: the MDM payload and what it refers to.
#[derive(Clone, Debug, PartialEq)]
pub struct EnrollmentProfile {
    /// `PayloadIdentifier` of the profile.
    pub identifier: String,
    /// The MDM payload.
    pub mdm: MdmPayload,
    /// The identity that `IdentityCertificateUUID` names.
    pub identity: Identity,
    /// Roots and intermediates that the device trusts from now on, DER.
    pub trusted: Vec<Vec<u8>>,
    /// One of these must be in the chain of ServerURL's server, if there are any. DER.
    pub server_pins: Vec<Vec<u8>>,
    /// The same for CheckInURL.
    pub checkin_pins: Vec<Vec<u8>>,
    /// What is in the profile that changes nothing here.
    pub ignored: Vec<Ignored>,
}

/// A key or payload that changes nothing here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ignored {
    /// Its payload's type, and its name: `com.apple.mdm RequiredAppIDForMDM`.
    pub what: String,
    /// Why, as a lower-case fragment.
    pub why: String,
}

/// Why a profile enrols nobody.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProfileError {
    /// Not a property list.
    #[error(transparent)]
    Plist(#[from] PlistError),
    /// A property list of another kind.
    #[error("{found}, not a configuration profile")]
    NotProfile {
        /// What it is.
        found: String,
    },
    /// A key that must be there.
    #[error("{payload} has no {key}")]
    Missing {
        /// The payload's type.
        payload: String,
        /// The key.
        key: &'static str,
    },
    /// A value that no device accepts.
    #[error("{payload}: {key} is {found}, but {right}")]
    Impossible {
        /// The payload's type.
        payload: String,
        /// The key.
        key: &'static str,
        /// What it says.
        found: String,
        /// What would be right, or what comes of it.
        right: String,
    },
    /// No MDM payload.
    #[error(
        "the profile has no payload com.apple.mdm, so that a device that installs it is not managed"
    )]
    NoMdm,
    /// An MDM payload without a topic.
    #[error(
        "the Topic of com.apple.mdm is empty: the server had no push certificate when it made this \
         profile, so that no push would ever reach the device; give the server its push \
         certificate, then fetch the profile again"
    )]
    NoTopic,
    /// `IdentityCertificateUUID` leads nowhere.
    #[error(
        "IdentityCertificateUUID is {uuid}, but the profile's identities are {found}; a device \
         would have nothing to prove who it is"
    )]
    NoIdentity {
        /// What it says.
        uuid: String,
        /// What there is.
        found: String,
    },
    /// A pinned certificate that is not in the profile.
    #[error("{key} names {uuid}, which is no certificate of this profile")]
    NoPin {
        /// The key.
        key: &'static str,
        /// What it says.
        uuid: String,
    },
    /// More payloads than any profile has.
    #[error("the profile has {payloads} payloads, but at most {PAYLOADS_MAX} are read")]
    TooMany {
        /// How many.
        payloads: usize,
    },
}

impl ProfileError {
    /// The name that failures of this kind are counted by.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Plist(_) | Self::NotProfile { .. } | Self::TooMany { .. } => "not-a-profile",
            Self::NoTopic => "no-topic",
            Self::Missing { .. }
            | Self::Impossible { .. }
            | Self::NoMdm
            | Self::NoIdentity { .. }
            | Self::NoPin { .. } => "impossible-payload",
        }
    }
}

impl Document {
    /// Reads a profile or a Profile Service payload.
    ///
    /// # Errors
    /// When it is neither, or a payload is one that no device accepts.
    pub fn decode(body: &[u8]) -> Result<Self, ProfileError> {
        let value = plist::decode(body)?;
        let Value::Dictionary(root) = value else {
            return Err(ProfileError::NotProfile {
                found: format!("found {}", keys::kind_of(&value)),
            });
        };
        match plist::text(&root, "PayloadType") {
            Some("Configuration") => Profile::read(&root).map(Self::Profile),
            Some(service::TYPE) => ServicePayload::read(&root).map(Self::Service),
            Some(other) => Err(ProfileError::NotProfile {
                found: format!("the PayloadType is {}", keys::quoted(other)),
            }),
            None => Err(ProfileError::NotProfile {
                found: "the property list has no PayloadType".to_owned(),
            }),
        }
    }
}

impl Profile {
    /// Reads a configuration profile alone.
    ///
    /// # Errors
    /// As [`Document::decode`], and for a Profile Service payload.
    pub fn decode(body: &[u8]) -> Result<Self, ProfileError> {
        match Document::decode(body)? {
            Document::Profile(profile) => Ok(profile),
            Document::Service(_) => Err(ProfileError::NotProfile {
                found: "found a Profile Service payload".to_owned(),
            }),
        }
    }

    fn read(root: &Dictionary) -> Result<Self, ProfileError> {
        let mut keys = Keys::new(root, "the profile");
        let mut profile = Self {
            identifier: keys.text("PayloadIdentifier")?.unwrap_or_default(),
            uuid: keys.text("PayloadUUID")?.unwrap_or_default(),
            name: keys.text("PayloadDisplayName")?,
            organization: keys.text("PayloadOrganization")?,
            ..Self::default()
        };
        if keys.take("EncryptedPayloadContent").is_some() {
            let encrypted = "encrypted for one device, which a simulated one cannot read";
            return Err(keys.impossible("EncryptedPayloadContent", "there", encrypted));
        }
        let payloads = match keys.take("PayloadContent") {
            Some(Value::Array(payloads)) => payloads.as_slice(),
            Some(other) => return Err(keys.wrong("PayloadContent", other, "a list of payloads")),
            None => return Err(keys.missing("PayloadContent")),
        };
        if payloads.len() > PAYLOADS_MAX {
            let payloads = payloads.len();
            return Err(ProfileError::TooMany { payloads });
        }
        for payload in payloads {
            let Value::Dictionary(payload) = payload else {
                return Err(keys.wrong("PayloadContent", payload, "a list of payloads"));
            };
            profile.add(payload)?;
        }
        profile.ignored.sort();
        profile.ignored.dedup();
        Ok(profile)
    }

    fn add(&mut self, payload: &Dictionary) -> Result<(), ProfileError> {
        let kind = plist::text(payload, "PayloadType").unwrap_or_default();
        let uuid = plist::text(payload, "PayloadUUID").unwrap_or_default();
        let mut keys = Keys::new(payload, kind);
        match kind {
            mdm::TYPE if self.mdm.is_some() => {
                let once = "a profile has at most one payload com.apple.mdm";
                return Err(keys.impossible("PayloadType", "there twice", once));
            }
            mdm::TYPE => self.mdm = Some(MdmPayload::read(&mut keys)?),
            identity::SCEP | identity::ACME | identity::PKCS12 => {
                let identity = Identity::read(kind, &mut keys)?;
                self.identities.push((uuid.to_owned(), identity));
            }
            _ => match CertificateKind::of(kind) {
                Some(kind) => {
                    let certificate = Certificate::read(kind, uuid, &mut keys)?;
                    self.certificates.push(certificate);
                }
                None => {
                    self.ignored.push(Ignored {
                        what: keys::shortened(kind),
                        why: "the payload has nothing to do with enrolment".to_owned(),
                    });
                    return Ok(());
                }
            },
        }
        self.ignored.extend(keys.left());
        Ok(())
    }

    /// What the profile enrols with.
    ///
    /// # Errors
    /// When a part of it is missing, or does not fit.
    pub fn enrollment(self) -> Result<EnrollmentProfile, ProfileError> {
        let Self {
            mdm,
            identities,
            certificates,
            ..
        } = self;
        let mdm = mdm.ok_or(ProfileError::NoMdm)?;
        let uuids: Vec<String> = identities.iter().map(|(uuid, _)| uuid.clone()).collect();
        let named = identities
            .into_iter()
            .find(|(uuid, _)| uuid.eq_ignore_ascii_case(&mdm.identity_uuid));
        let Some((_, identity)) = named else {
            let found = match uuids.as_slice() {
                [] => "none".to_owned(),
                some => keys::shortened(&some.join(", ")),
            };
            let uuid = mdm.identity_uuid;
            return Err(ProfileError::NoIdentity { uuid, found });
        };
        let pins = |key, uuids: &[String]| {
            let pin = |uuid: &String| {
                let found = certificates.iter().find(|it| it.is(uuid));
                let found = found.map(|certificate| certificate.der.clone());
                found.ok_or_else(|| ProfileError::NoPin {
                    key,
                    uuid: uuid.clone(),
                })
            };
            uuids.iter().map(pin).collect::<Result<Vec<_>, _>>()
        };
        Ok(EnrollmentProfile {
            server_pins: pins(mdm::SERVER_PINS, &mdm.server_pins)?,
            checkin_pins: pins(mdm::CHECKIN_PINS, &mdm.checkin_pins)?,
            identifier: self.identifier,
            mdm,
            identity,
            trusted: certificates.into_iter().map(|it| it.der).collect(),
            ignored: self.ignored,
        })
    }

    /// The one identity of a profile that has nothing else, as a server sends it in the second phase
    /// over the air.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn identity(self) -> Result<Identity, ProfileError> {
        let mut identities = self.identities;
        match (identities.pop(), identities.is_empty()) {
            (Some((_, identity)), true) => Ok(identity),
            (Some(_), false) => Err(ProfileError::NoIdentity {
                uuid: "not said, as there is no MDM payload".to_owned(),
                found: "more than one".to_owned(),
            }),
            (None, _) => Err(ProfileError::NoIdentity {
                uuid: "not said, as there is no MDM payload".to_owned(),
                found: "none".to_owned(),
            }),
        }
    }

    /// The XML property list.
    pub fn encode(&self) -> Vec<u8> {
        let mut payloads = Vec::new();
        for (uuid, identity) in &self.identities {
            payloads.push(self.payload(identity.kind(), uuid, identity.write()));
        }
        for certificate in &self.certificates {
            let content = certificate.write();
            payloads.push(self.payload(certificate.kind.name(), &certificate.uuid, content));
        }
        if let Some(mdm) = &self.mdm {
            let uuid = format!("{}-MDM", self.uuid);
            payloads.push(self.payload(mdm::TYPE, &uuid, mdm.write()));
        }
        let mut root = Dictionary::new();
        root.insert("PayloadContent".into(), Value::Array(payloads));
        if let Some(name) = &self.name {
            root.insert("PayloadDisplayName".into(), name.as_str().into());
        }
        root.insert("PayloadIdentifier".into(), self.identifier.as_str().into());
        if let Some(organization) = &self.organization {
            root.insert("PayloadOrganization".into(), organization.as_str().into());
        }
        root.insert("PayloadType".into(), "Configuration".into());
        root.insert("PayloadUUID".into(), self.uuid.as_str().into());
        root.insert("PayloadVersion".into(), Value::Integer(1.into()));
        plist::encode(&root)
    }

    /// A payload of this profile with the keys that all payloads have.
    fn payload(&self, kind: &str, uuid: &str, mut content: Dictionary) -> Value {
        let last = kind.rsplit('.').next().unwrap_or(kind);
        let identifier = format!("{}.{last}.{uuid}", self.identifier);
        content.insert("PayloadIdentifier".into(), identifier.into());
        content.insert("PayloadType".into(), kind.into());
        content.insert("PayloadUUID".into(), uuid.into());
        content.insert("PayloadVersion".into(), Value::Integer(1.into()));
        Value::Dictionary(content)
    }
}
