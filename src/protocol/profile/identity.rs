//! Payloads that give a device its identity: SCEP, ACME, and a finished one as PKCS#12.

use std::time::Duration;

use ::plist::{Dictionary, Value};

use super::ProfileError;
use super::keys::{Keys, quoted};
use super::subject::{AltName, Subject};

pub(super) const SCEP: &str = "com.apple.security.scep";
pub(super) const ACME: &str = "com.apple.security.acme";
pub(super) const PKCS12: &str = "com.apple.security.pkcs12";

/// The longest wait between two tries that a payload may ask for.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(86_400);

/// A payload that gives an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// `com.apple.security.scep`.
    Scep(ScepPayload),
    /// `com.apple.security.acme`.
    Acme(AcmePayload),
    /// `com.apple.security.pkcs12`.
    Pkcs12(Pkcs12Payload),
}

/// What SCEP needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScepPayload {
    /// `URL`.
    pub url: String,
    /// `Name`, for servers with several authorities.
    pub ca_name: Option<String>,
    /// `Subject`.
    pub subject: Subject,
    /// `SubjectAltName`.
    pub alt_names: Vec<AltName>,
    /// `Challenge`.
    pub challenge: Option<String>,
    /// `Keysize`, in bits: 2048 or 4096.
    pub key_size: u32,
    /// `Key Usage`: 1 to sign, 4 to encrypt, 5 for both; 0 when it does not say.
    pub key_usage: u8,
    /// `CAFingerprint`: SHA-1 or MD5 of the authority's certificate, or SHA-256.
    pub fingerprint: Option<Vec<u8>>,
    /// `Retries`: how often a pending request is asked for again.
    pub retries: u32,
    /// `RetryDelay`; the first retry does not wait.
    pub retry_delay: Duration,
}

/// What ACME needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmePayload {
    /// `DirectoryURL`.
    pub directory: String,
    /// `ClientIdentifier`.
    pub client_identifier: String,
    /// `KeyType` and `KeySize`.
    pub key: Key,
    /// `HardwareBound`.
    pub hardware_bound: bool,
    /// `Attest`: whether the device shows by an attestation what it is.
    pub attest: bool,
    /// `Subject`.
    pub subject: Subject,
    /// `SubjectAltName`.
    pub alt_names: Vec<AltName>,
}

/// A kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `ECSECPrimeRandom` of 256, 384 or 521 bits.
    Ec(u32),
    /// RSA of 2048 or 4096 bits.
    Rsa(u32),
}

/// An identity that is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pkcs12Payload {
    /// The PKCS#12 file.
    pub content: Vec<u8>,
    /// `Password`.
    pub password: String,
}

impl Identity {
    /// The payload's type.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Scep(_) => SCEP,
            Self::Acme(_) => ACME,
            Self::Pkcs12(_) => PKCS12,
        }
    }

    pub(super) fn read(kind: &str, keys: &mut Keys<'_>) -> Result<Self, ProfileError> {
        match kind {
            SCEP => Ok(Self::Scep(scep(keys)?)),
            ACME => Ok(Self::Acme(acme(keys)?)),
            _ => Ok(Self::Pkcs12(pkcs12(keys)?)),
        }
    }

    pub(super) fn write(&self) -> Dictionary {
        match self {
            Self::Scep(scep) => {
                let mut payload = Dictionary::new();
                let content = Value::Dictionary(scep.write());
                payload.insert("PayloadContent".into(), content);
                payload
            }
            Self::Acme(acme) => acme.write(),
            Self::Pkcs12(pkcs12) => {
                let mut payload = Dictionary::new();
                payload.insert("Password".into(), pkcs12.password.as_str().into());
                let content = Value::Data(pkcs12.content.clone());
                payload.insert("PayloadContent".into(), content);
                payload
            }
        }
    }
}

impl ScepPayload {
    /// `Retries` where a payload does not say.
    pub const RETRIES: u32 = 3;
    /// `RetryDelay` where a payload does not say.
    pub const RETRY_DELAY: Duration = Duration::from_secs(10);

    fn write(&self) -> Dictionary {
        let mut content = Dictionary::new();
        let mut put = |key: &str, value: Value| content.insert(key.into(), value);
        if let Some(fingerprint) = &self.fingerprint {
            put("CAFingerprint", Value::Data(fingerprint.clone()));
        }
        if let Some(challenge) = &self.challenge {
            put("Challenge", challenge.as_str().into());
        }
        put("Key Type", "RSA".into());
        if self.key_usage != 0 {
            put("Key Usage", Value::Integer(self.key_usage.into()));
        }
        put("Keysize", Value::Integer(self.key_size.into()));
        if let Some(name) = &self.ca_name {
            put("Name", name.as_str().into());
        }
        put("Retries", Value::Integer(self.retries.into()));
        let delay = self.retry_delay.as_secs();
        put("RetryDelay", Value::Integer(delay.into()));
        put("Subject", self.subject.write());
        put("URL", self.url.as_str().into());
        if !self.alt_names.is_empty() {
            put("SubjectAltName", AltName::write(&self.alt_names));
        }
        content
    }
}

impl AcmePayload {
    fn write(&self) -> Dictionary {
        let (kind, size) = match self.key {
            Key::Ec(size) => ("ECSECPrimeRandom", size),
            Key::Rsa(size) => ("RSA", size),
        };
        let mut payload = Dictionary::new();
        let mut put = |key: &str, value: Value| payload.insert(key.into(), value);
        put("Attest", self.attest.into());
        put("ClientIdentifier", self.client_identifier.as_str().into());
        put("DirectoryURL", self.directory.as_str().into());
        put("HardwareBound", self.hardware_bound.into());
        put("KeySize", Value::Integer(size.into()));
        put("KeyType", kind.into());
        put("Subject", self.subject.write());
        if !self.alt_names.is_empty() {
            put("SubjectAltName", AltName::write(&self.alt_names));
        }
        payload
    }
}

fn scep(keys: &mut Keys<'_>) -> Result<ScepPayload, ProfileError> {
    let content = match keys.take("PayloadContent") {
        Some(Value::Dictionary(content)) => content,
        Some(other) => return Err(keys.wrong("PayloadContent", other, "a dictionary")),
        None => return Err(keys.missing("PayloadContent")),
    };
    let mut inner = Keys::new(content, SCEP);
    let url = inner.required("URL")?;
    if !url.starts_with("https://") && !url.starts_with("http://") {
        let right = "devices go to http:// and https:// URLs";
        return Err(inner.impossible("URL", &quoted(&url), right));
    }
    let kind = inner.text("Key Type")?;
    if let Some(other) = kind.as_deref().filter(|it| !it.eq_ignore_ascii_case("rsa")) {
        let right = "SCEP is for RSA keys alone";
        return Err(inner.impossible("Key Type", &quoted(other), right));
    }
    let usage = inner.number("Key Usage")?.unwrap_or(0);
    if ![0, 1, 4, 5].contains(&usage) {
        let right = "1 is to sign, 4 to encrypt, 5 is both";
        return Err(inner.impossible("Key Usage", &usage.to_string(), right));
    }
    let fingerprint = inner.data("CAFingerprint")?.filter(|it| !it.is_empty());
    if let Some(sum) = &fingerprint
        && ![16, 20, 32].contains(&sum.len())
    {
        let found = format!("{} bytes", sum.len());
        let right = "MD5 has 16, SHA-1 has 20 and SHA-256 has 32";
        return Err(inner.impossible("CAFingerprint", &found, right));
    }
    let retry_delay = inner.number("RetryDelay")?;
    let retry_delay = retry_delay.map_or(ScepPayload::RETRY_DELAY, |seconds| {
        Duration::from_secs(seconds.into())
    });
    let payload = ScepPayload {
        url,
        ca_name: inner.text("Name")?.filter(|name| !name.is_empty()),
        subject: Subject::read(&mut inner)?,
        alt_names: AltName::read(&mut inner)?,
        challenge: inner.text("Challenge")?.filter(|it| !it.is_empty()),
        key_size: rsa_size(&mut inner, "Keysize")?,
        key_usage: usage as u8,
        fingerprint,
        retries: inner.number("Retries")?.unwrap_or(ScepPayload::RETRIES),
        retry_delay: retry_delay.min(RETRY_DELAY_MAX),
    };
    // A device asks the server, which knows better.
    inner.ignore("CACapabilities", "GetCACaps is asked instead");
    inner.ignore("KeyIsExtractable", "keys stay where they are");
    inner.ignore("AllowAllAppsAccess", "there are no other apps");
    inner.ignore(
        "CertificateRenewalTimeInterval",
        "certificates are renewed by the timeline alone",
    );
    for ignored in inner.left() {
        let key = ignored.what.strip_prefix(SCEP).unwrap_or(&ignored.what);
        keys.note(key.trim_start(), &ignored.why);
    }
    Ok(payload)
}

/// The size of an RSA key. Apple's default of 1024 is refused by every library that makes keys, and
/// by most authorities.
fn rsa_size(keys: &mut Keys<'_>, key: &'static str) -> Result<u32, ProfileError> {
    match keys.number(key)? {
        Some(size @ (2048 | 4096)) => Ok(size),
        Some(1024) | None => {
            keys.note(key, "1024, the default as well, is taken for 2048");
            Ok(2048)
        }
        Some(other) => {
            let right = "RSA keys of 2048 and 4096 bits are made";
            Err(keys.impossible(key, &other.to_string(), right))
        }
    }
}

fn acme(keys: &mut Keys<'_>) -> Result<AcmePayload, ProfileError> {
    let directory = keys.https("DirectoryURL")?;
    let directory = directory.ok_or_else(|| keys.missing("DirectoryURL"))?;
    let hardware_bound = keys.flag("HardwareBound")?;
    let attest = keys.flag("Attest")?;
    if attest && !hardware_bound {
        let right = "Attest needs HardwareBound";
        return Err(keys.impossible("HardwareBound", "false", right));
    }
    let key = match keys.required("KeyType")?.as_str() {
        "RSA" if hardware_bound => {
            let right = "a key that is bound to hardware is ECSECPrimeRandom of 256 or 384 bits";
            return Err(keys.impossible("KeyType", "RSA", right));
        }
        "RSA" => Key::Rsa(rsa_size(keys, "KeySize")?),
        "ECSECPrimeRandom" => {
            let size = keys.number("KeySize")?;
            match size.ok_or_else(|| keys.missing("KeySize"))? {
                size @ (256 | 384) => Key::Ec(size),
                521 if !hardware_bound => Key::Ec(521),
                other => {
                    let right = "it is 256, 384 or, when not bound to hardware, 521";
                    return Err(keys.impossible("KeySize", &other.to_string(), right));
                }
            }
        }
        other => {
            let right = "it is RSA or ECSECPrimeRandom";
            return Err(keys.impossible("KeyType", &quoted(other), right));
        }
    };
    let payload = AcmePayload {
        directory,
        client_identifier: keys.required("ClientIdentifier")?,
        key,
        hardware_bound,
        attest,
        subject: Subject::read(keys)?,
        alt_names: AltName::read(keys)?,
    };
    keys.ignore("UsageFlags", "the authority decides what keys are for");
    let decides = "the authority decides what certificates are for";
    keys.ignore("ExtendedKeyUsage", decides);
    keys.ignore("KeyIsExtractable", "keys stay where they are");
    keys.ignore("AllowAllAppsAccess", "there are no other apps");
    Ok(payload)
}

fn pkcs12(keys: &mut Keys<'_>) -> Result<Pkcs12Payload, ProfileError> {
    keys.take("PayloadCertificateFileName");
    let content = keys.data("PayloadContent")?;
    let payload = Pkcs12Payload {
        content: content.ok_or_else(|| keys.missing("PayloadContent"))?,
        password: keys.text("Password")?.unwrap_or_default(),
    };
    keys.ignore("KeyIsExtractable", "keys stay where they are");
    keys.ignore("AllowAllAppsAccess", "there are no other apps");
    Ok(payload)
}
