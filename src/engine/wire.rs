//! A device's request as bytes: URL, headers, and the proof of who sends it.

use std::io::Write as _;
use std::sync::Arc;

use rustls::sign::CertifiedKey;

use super::certificate_header::{self, Encoding};
use super::cms;
use super::endpoint::Endpoint;
use super::identity::{Doors, Identities};
use crate::device::contract::Request;
use crate::fact::Broken;
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
    /// Its certificate in a header, as a proxy in front of the target would set it.
    Header {
        /// The header's name.
        name: String,
        /// How the certificate is written.
        encoding: Encoding,
    },
}

/// Writes requests for one target.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    proof: Proof,
    /// Sent with every request.
    headers: Vec<(String, String)>,
    host: String,
    checkin: Door,
    server: Door,
}

/// One of the payload's two URLs.
#[derive(Clone, Debug)]
struct Door {
    path: String,
    content_type: &'static str,
    /// Request line and fixed headers, up to the length.
    head: Vec<u8>,
}

/// The request line and the headers that do not depend on the body, up to the length.
fn head(path: &str, host: &str, content_type: &str, headers: &[(String, String)]) -> Vec<u8> {
    // What real devices send (observed, protocol.md 2.2).
    let mut head = format!(
        "PUT {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: MDM/1.0\r\n\
         Content-Type: {content_type}\r\n",
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("Content-Length: ");
    head.into_bytes()
}

impl Wire {
    /// For a target with these URLs; `headers` are sent with every request.
    pub(super) fn new(
        checkin: &Endpoint,
        server: &Endpoint,
        proof: Proof,
        headers: &[(String, String)],
    ) -> Self {
        let host = server.host_header();
        let door = |endpoint: &Endpoint, content_type: &'static str| Door {
            path: endpoint.path.clone(),
            content_type,
            head: head(&endpoint.path, &host, content_type, headers),
        };
        Self {
            checkin: door(checkin, CHECKIN_CONTENT_TYPE),
            server: door(server, SERVER_CONTENT_TYPE),
            headers: headers.to_vec(),
            host,
            proof,
        }
    }

    /// The path of the payload's URL that a request goes to: the device's own payload, if it has
    /// one.
    pub(super) fn path(&self, request: &Request, identities: &Identities) -> String {
        own_path(request, identities).unwrap_or_else(|| self.door(request).path.clone())
    }

    /// The whole request, head and body, to be written at once.
    pub(super) fn request(
        &self,
        request: &Request,
        identities: &Identities,
    ) -> Result<Vec<u8>, Broken> {
        let door = self.door(request);
        match own_path(request, identities) {
            None => self.complete(&door.head, request, identities),
            Some(path) => {
                let head = head(&path, &self.host, door.content_type, &self.headers);
                self.complete(&head, request, identities)
            }
        }
    }

    /// The same request to where a redirect leads.
    pub(super) fn request_to(
        &self,
        endpoint: &Endpoint,
        request: &Request,
        identities: &Identities,
    ) -> Result<Vec<u8>, Broken> {
        let content_type = self.door(request).content_type;
        let host = endpoint.host_header();
        let head = head(&endpoint.path, &host, content_type, &self.headers);
        self.complete(&head, request, identities)
    }

    fn door(&self, request: &Request) -> &Door {
        if request.said.is_check_in() {
            &self.checkin
        } else {
            &self.server
        }
    }

    fn complete(
        &self,
        head: &[u8],
        request: &Request,
        identities: &Identities,
    ) -> Result<Vec<u8>, Broken> {
        let body = &request.body;
        let mut bytes = Vec::with_capacity(head.len() + body.len() + 64);
        bytes.extend_from_slice(head);
        let _ = write!(bytes, "{}\r\n", body.len());
        let device = request.channel.device;
        match &self.proof {
            Proof::Mtls => {}
            Proof::Signature => {
                let key = identities.certified_key(device).ok_or_else(nobody)?;
                let signature = cms::mdm_signature(body, &key, request.wall);
                let signature = signature.map_err(|error| Broken::Harness(error.to_string()))?;
                let _ = write!(bytes, "Mdm-Signature: {signature}\r\n");
            }
            Proof::Header { name, encoding } => {
                let certificate = identities.certificate_der(device).ok_or_else(nobody)?;
                let value = certificate_header::header_value(&certificate, *encoding);
                let _ = write!(bytes, "{name}: {value}\r\n");
            }
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        Ok(bytes)
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

/// Where a device's own profile sends the request; `None` where it says what that of all does.
fn own_path(request: &Request, identities: &Identities) -> Option<String> {
    let own = identities.own(request.channel.device)?;
    let Doors { checkin, server } = &**own.doors.as_ref()?;
    Some(match request.said.is_check_in() {
        true => checkin.clone(),
        false => server.clone(),
    })
}

/// A server may hand out an identity that is of no use; that is the end of this request alone.
fn nobody() -> Broken {
    Broken::Harness("the device has no identity that can be used".into())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use rcgen::{CertificateParams, KeyPair as RcgenPair};
    use rustls::pki_types::PrivatePkcs8KeyDer;

    use super::*;
    use crate::device::contract::Trip;
    use crate::engine::clock::wall_now;
    use crate::engine::identity::OwnIdentity;
    use crate::fact::Said;
    use crate::ids::{Channel, RequestId};
    use crate::time::SimTime;

    /// Device 0 with an RSA identity and doors of its own.
    fn identities() -> Identities {
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let key: Vec<u8> = key.as_der().unwrap().as_ref().to_vec();
        let pair = PrivatePkcs8KeyDer::from(key.as_slice());
        let pair = RcgenPair::from_pkcs8_der_and_sign_algo(&pair, &rcgen::PKCS_RSA_SHA256).unwrap();
        let certificate = CertificateParams::default().self_signed(&pair).unwrap();
        let identities = Identities::default();
        let own = OwnIdentity {
            key: key.into(),
            chain: vec![certificate.der().clone()],
            doors: Some(Arc::new(Doors {
                checkin: "/in?id=7".into(),
                server: "/do?id=7".into(),
            })),
        };
        identities.put(DeviceId(0), Arc::new(own));
        identities
    }

    fn request(device: u32, said: Said) -> Request {
        Request {
            id: RequestId(0),
            channel: Channel::device(DeviceId(device)),
            said,
            body: b"body"[..].into(),
            wall: wall_now(),
            asked: SimTime::ZERO,
            trip: Trip::default(),
        }
    }

    fn wire(proof: Proof) -> Wire {
        let at = |path: &str| Endpoint::resolve(&format!("https://127.0.0.1{path}")).unwrap();
        Wire::new(&at("/checkin"), &at("/mdm"), proof, &[])
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_device_with_doors_of_its_own_goes_through_them_and_no_other_does() {
        let (wire, identities) = (wire(Proof::Mtls), identities());
        for (device, said, line) in [
            (0, Said::Authenticate, "PUT /in?id=7 HTTP/1.1\r\n"),
            (0, Said::Idle, "PUT /do?id=7 HTTP/1.1\r\n"),
            (1, Said::Authenticate, "PUT /checkin HTTP/1.1\r\n"),
            (1, Said::Idle, "PUT /mdm HTTP/1.1\r\n"),
        ] {
            let bytes = wire.request(&request(device, said), &identities);
            let bytes = text(bytes.unwrap());
            assert!(bytes.starts_with(line), "{bytes}");
        }
    }

    #[test]
    fn an_rsa_identity_signs_and_shows_itself_in_either_header() {
        let identities = identities();
        let signed = wire(Proof::Signature).request(&request(0, Said::Idle), &identities);
        let signed = text(signed.unwrap());
        let value = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line[name.len() + 2..].to_owned()
        };
        let signer = cms::verify(&value(&signed, "Mdm-Signature"), b"body").unwrap();
        assert_eq!(
            signer.certificate,
            identities.certificate_der(DeviceId(0)).unwrap()
        );
        for encoding in [Encoding::Rfc9440, Encoding::UrlPem] {
            let name = "X-Cert".to_owned();
            let wire = wire(Proof::Header { name, encoding });
            let shown = wire.request(&request(0, Said::Idle), &identities);
            let shown = value(&text(shown.unwrap()), "X-Cert");
            let shown = certificate_header::certificate(&shown).unwrap();
            assert_eq!(shown, signer.certificate);
        }
    }

    #[test]
    fn a_device_without_an_identity_is_an_error_and_no_panic() {
        let nobody = wire(Proof::Signature).request(&request(1, Said::Idle), &identities());
        assert!(matches!(nobody, Err(Broken::Harness(_))));
    }
}
