//! How a device comes by its identity: what it is for, the steps to it, and why one fails.

use serde::{Deserialize, Serialize};

/// What a device wants an identity for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Obtaining {
    /// It enrols.
    #[default]
    Enroll,
    /// Its certificate is to be replaced by a new one; it stays the same device.
    Renew,
    /// It is a copy of another device, restored from its backup, and has that one's identity.
    Clone,
    /// The target has refused its renewed certificate: it takes back the one it had.
    Restore,
}

/// One step towards an identity; each method takes some of them, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityStep {
    /// Account-driven: `/.well-known/com.apple.remotemanagement`, and the sign-in it leads to.
    Discovery,
    /// The enrolment profile is fetched and read; over the air, the first phase.
    Profile,
    /// Over the air: attributes signed with the device certificate are answered with a SCEP profile.
    Attributes,
    /// SCEP: GetCACert.
    CaCertificate,
    /// SCEP: GetCACaps.
    CaCapabilities,
    /// A key pair is ready: made now, made ahead, or drawn from the pool.
    Key,
    /// SCEP: PKIOperation, from the request to the certificate, PENDING included.
    PkiOperation,
    /// ACME: directory, account and order.
    AcmeOrder,
    /// ACME: the challenge `device-attest-01`.
    Attestation,
    /// ACME: finalisation, and the certificate.
    AcmeCertificate,
    /// Over the air: attributes signed with the new identity are answered with the MDM profile.
    MdmProfile,
    /// The roster has the identity on disk.
    Kept,
}

/// Why a step failed, by a name that counts and words that explain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Refusal {
    /// A short kebab-case name that says the same of every device: `challenge-refused`.
    pub name: String,
    /// What happened, as a lower-case fragment.
    pub what: String,
}
