//! What ACME answers when it refuses (RFC 8555 section 6.7).

use std::fmt;

use serde_json::{Value, json};

/// A problem document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The HTTP status.
    pub(super) status: u16,
    kind: &'static str,
    detail: String,
}

impl Problem {
    pub(super) fn new(status: u16, kind: &'static str, detail: &str) -> Self {
        let detail = detail.to_owned();
        Self {
            status,
            kind,
            detail,
        }
    }

    pub(super) fn malformed(detail: &str) -> Self {
        Self::new(400, "malformed", detail)
    }

    pub(super) fn bad_algorithm() -> Self {
        let detail = "expected ES256 with P-256 or ES384 with P-384";
        Self::new(400, "badSignatureAlgorithm", detail)
    }

    pub(super) fn bad_attestation(detail: &str) -> Self {
        Self::new(400, "badAttestationStatement", detail)
    }

    /// The document.
    pub(super) fn json(&self) -> Value {
        json!({
            "type": format!("urn:ietf:params:acme:error:{}", self.kind),
            "detail": self.detail,
            "status": self.status,
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.detail)
    }
}
