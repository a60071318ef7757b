//! A device's request as bytes: URL, headers, and the proof of who sends it.

use std::io::Write as _;
use std::sync::Arc;

use rustls::sign::CertifiedKey;

use super::cms::{self, header_value};
use super::endpoint::Endpoint;
use super::identity::Identities;
use crate::device::contract::Request;
use crate::fact::Said;
use crate::ids::DeviceId;
use crate::protocol::checkin::CHECKIN_CONTENT_TYPE;
use crate::protocol::status_report::SERVER_CONTENT_TYPE;

/// How a device proves its identity to the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Its certificate in the TLS handshake.
    Mtls,
    /// `Mdm-Signature`: a detached CMS over the body.
    Signature,
    /// Its certificate in a header, as a proxy in front of the target would set it (RFC 9440).
    Header(String),
}

/// Writes requests for one target.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    proof: Proof,
    /// Sent with every request.
    headers: Vec<(String, String)>,
    checkin: Door,
    server: Door,
}

/// One of the payload's two URLs.
#[derive(Clone, Debug)]
struct Door {
    path: String,
    /// Request line and fixed headers, up to the length.
    head: Vec<u8>,
}

/// The request line and the headers that do not depend on the body, up to the length.
fn head(endpoint: &Endpoint, content_type: &str, headers: &[(String, String)]) -> Vec<u8> {
    // What real devices send (observed, protocol.md 2.2).
    let mut head = format!(
        "PUT {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: MDM/1.0\r\nContent-Type: {content_type}\r\n",
        endpoint.path,
        endpoint.host_header(),
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("Content-Length: ");
    head.into_bytes()
}

/// Whether it goes to the check-in URL.
const fn is_check_in(said: &Said) -> bool {
    match said {
        Said::Authenticate | Said::TokenUpdate | Said::CheckOut => true,
        Said::Idle | Said::Result { .. } => false,
    }
}

impl Wire {
    /// For a target with these URLs; `headers` are sent with every request.
    pub(super) fn new(
        checkin: &Endpoint,
        server: &Endpoint,
        proof: Proof,
        headers: &[(String, String)],
    ) -> Self {
        let door = |endpoint: &Endpoint, content_type: &str| Door {
            path: endpoint.path.clone(),
            head: head(endpoint, content_type, headers),
        };
        Self {
            checkin: door(checkin, CHECKIN_CONTENT_TYPE),
            server: door(server, SERVER_CONTENT_TYPE),
            headers: headers.to_vec(),
            proof,
        }
    }

    /// The path of the payload's URL that a request goes to.
    pub(super) fn path(&self, said: &Said) -> &str {
        if is_check_in(said) {
            &self.checkin.path
        } else {
            &self.server.path
        }
    }

    /// The whole request, head and body, to be written at once.
    pub(super) fn request(&self, request: &Request, identities: &Identities) -> Vec<u8> {
        let door = if is_check_in(&request.said) {
            &self.checkin
        } else {
            &self.server
        };
        self.complete(&door.head, request, identities)
    }

    /// The same request to where a redirect leads.
    pub(super) fn request_to(
        &self,
        endpoint: &Endpoint,
        request: &Request,
        identities: &Identities,
    ) -> Vec<u8> {
        let content_type = if is_check_in(&request.said) {
            CHECKIN_CONTENT_TYPE
        } else {
            SERVER_CONTENT_TYPE
        };
        let head = head(endpoint, content_type, &self.headers);
        self.complete(&head, request, identities)
    }

    fn complete(&self, head: &[u8], request: &Request, identities: &Identities) -> Vec<u8> {
        let body = &request.body;
        let mut bytes = Vec::with_capacity(head.len() + body.len() + 64);
        bytes.extend_from_slice(head);
        let _ = write!(bytes, "{}\r\n", body.len());
        let device = request.channel.device;
        match &self.proof {
            Proof::Mtls => {}
            Proof::Signature => {
                let key = identities.certified_key(device);
                let signed = key.and_then(|key| cms::mdm_signature(body, &key, request.wall).ok());
                let signature = signed.expect("every device has an identity that we minted");
                let _ = write!(bytes, "Mdm-Signature: {signature}\r\n");
            }
            Proof::Header(name) => {
                let certificate = identities.certificate_der(device);
                let value = header_value(certificate.expect("every device has an identity"));
                let _ = write!(bytes, "{name}: {value}\r\n");
            }
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        bytes
    }

    /// What the device shows in the TLS handshake.
    pub(super) fn tls_identity(
        &self,
        identities: &Identities,
        device: DeviceId,
    ) -> Option<Arc<CertifiedKey>> {
        if self.proof == Proof::Mtls {
            identities.certified_key(device)
        } else {
            None
        }
    }
}
