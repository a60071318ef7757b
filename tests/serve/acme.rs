//! The server's ACME side: a device that attests its key is given a certificate for that key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use http::Request;
use mdmstorm::engine::authority::Credential;
use mdmstorm::engine::pki::keys::{DeviceKey, KeyKind};
use mdmstorm::engine::pki::name::Name;
use mdmstorm::engine::pki::request::Wish;
use mdmstorm::engine::serve::IdentityMode;
use mdmstorm::scenario::EmbeddedTarget;
use rcgen::{CertificateParams, CustomExtension, Issuer, KeyPair, SigningKey as _};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};

use crate::rig::{Answer, Rig};

/// A client with an account's key.
struct Client {
    rig: Rig,
    key: KeyPair,
    account: Option<String>,
    nonce: String,
}

impl Client {
    async fn start() -> Self {
        let rules = Some(EmbeddedTarget::default());
        let rig = Rig::start_enrolling(IdentityMode::Mtls, rules).await;
        let directory = rig.fetch("/acme/directory").await.json();
        assert_eq!(directory["newOrder"], "https://localhost/acme/new-order");
        let nonce = rig.ask(Request::head("/acme/new-nonce"), Vec::new()).await;
        assert_eq!(nonce.status, 200);
        let nonce = nonce.header("replay-nonce").to_owned();
        Self {
            rig,
            key: KeyPair::generate().unwrap(),
            account: None,
            nonce,
        }
    }

    async fn post(&mut self, url: &str, payload: &str) -> Answer {
        let mut head = json!({ "alg": "ES256", "nonce": self.nonce, "url": url });
        match &self.account {
            Some(account) => head["kid"] = account.as_str().into(),
            None => {
                let point = self.key.public_key_raw();
                let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
                head["jwk"] = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y });
            }
        }
        let (head, payload) = (BASE64.encode(head.to_string()), BASE64.encode(payload));
        let signature = self
            .key
            .sign(format!("{head}.{payload}").as_bytes())
            .unwrap();
        let body = json!({
            "protected": head,
            "payload": payload,
            "signature": BASE64.encode(fixed(&signature)),
        });
        let path = url.strip_prefix("https://localhost").unwrap();
        let answer = self
            .rig
            .ask(Request::post(path), body.to_string().into_bytes())
            .await;
        self.nonce = answer.header("replay-nonce").to_owned();
        answer
    }

    /// Opens an account and an order for `serial`; returns the order and its challenge.
    async fn order(&mut self, serial: &str) -> (Value, Value) {
        let account = self.post("https://localhost/acme/new-account", "{}").await;
        assert_eq!(account.status, 201, "{}", account.text());
        self.account = Some(account.header("location").to_owned());
        let wanted =
            json!({ "identifiers": [{ "type": "permanent-identifier", "value": serial }] });
        let order = self
            .post("https://localhost/acme/new-order", &wanted.to_string())
            .await;
        assert_eq!(order.status, 201, "{}", order.text());
        let order = order.json();
        let authorization = order["authorizations"][0].as_str().unwrap().to_owned();
        let authorization = self.post(&authorization, "").await.json();
        (order, authorization["challenges"][0].clone())
    }

    async fn answer(&mut self, challenge: &Value, object: &[u8]) -> Value {
        let payload = json!({ "attObj": BASE64.encode(object) }).to_string();
        let url = challenge["url"].as_str().unwrap().to_owned();
        let answer = self.post(&url, &payload).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    async fn finalize(&mut self, order: &Value, key: &DeviceKey) -> Answer {
        let subject = Name::common("device").to_der().unwrap();
        let wish = Wish {
            subject: &subject,
            ..Wish::default()
        };
        let csr = BASE64.encode(wish.sign(key).unwrap());
        let payload = json!({ "csr": csr }).to_string();
        let url = order["finalize"].as_str().unwrap().to_owned();
        self.post(&url, &payload).await
    }
}

/// A DER signature with P-256 as two numbers of 32 bytes.
fn fixed(der: &[u8]) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut both = Vec::new();
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let number = &rest[2..2 + length];
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        both.resize(both.len() + 32 - number.len(), 0);
        both.extend_from_slice(number);
        rest = &rest[2 + length..];
    }
    both
}

/// An attestation of `key` for the device `serial`, made for `token` and signed by `authority`.
fn attestation(
    authority: &(String, KeyPair),
    key: &DeviceKey,
    serial: &str,
    token: &str,
) -> Vec<u8> {
    let mut params = CertificateParams::default();
    let freshness = mdmstorm::engine::identity::sha256(token.as_bytes());
    for (oid, value) in [
        (&[1, 2, 840, 113_635, 100, 8, 9, 1][..], serial.as_bytes()),
        (&[1, 2, 840, 113_635, 100, 8, 11, 1], &freshness),
    ] {
        let extension = CustomExtension::from_oid_content(oid, value.to_vec());
        params.custom_extensions.push(extension);
    }
    let issuer = Issuer::from_ca_cert_pem(&authority.0, &authority.1).unwrap();
    let pair = KeyPair::try_from(&PrivatePkcs8KeyDer::from(key.pkcs8())).unwrap();
    let leaf = params.signed_by(&pair, &issuer).unwrap();
    let mut object = b"\xa2\x63fmt\x65apple\x67attStmt\xa1\x63x5c\x81\x59".to_vec();
    object.extend(u16::try_from(leaf.der().len()).unwrap().to_be_bytes());
    object.extend_from_slice(leaf.der());
    object
}

#[tokio::test]
async fn a_device_that_attests_its_key_gets_a_certificate_and_enrols_with_it() {
    let mut client = Client::start().await;
    let (order, challenge) = client.order("C02SIM").await;
    let key = DeviceKey::generate(KeyKind::P256).unwrap();
    let token = challenge["token"].as_str().unwrap();
    let object = attestation(&client.rig.attesting(), &key, "C02SIM", token);
    let answered = client.answer(&challenge, &object).await;
    assert_eq!(answered["status"], "valid", "{answered}");
    let done = client.finalize(&order, &key).await;
    assert_eq!(done.status, 200, "{}", done.text());
    let done = done.json();
    let chain = client
        .post(done["certificate"].as_str().unwrap(), "")
        .await
        .text();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        base64::engine::general_purpose::STANDARD.encode(key.pkcs8())
    );
    client.rig.credential = Some(Credential::from_pem(&chain, &pem).unwrap());
    client.rig.enroll().await;
    let seen = client.rig.seen().await;
    assert_eq!(seen["acme"], json!({ "issued": 1, "refused": 0 }));
    assert_eq!(seen["devices"][0]["certificates"], 1);
}

#[tokio::test]
async fn an_attestation_of_another_key_device_or_challenge_buys_nothing() {
    let mut client = Client::start().await;
    let authority = client.rig.attesting();
    let key = DeviceKey::generate(KeyKind::P256).unwrap();
    for (serial, token) in [("OTHER", None), ("C02SIM", Some("old"))] {
        let (_, challenge) = client.order("C02SIM").await;
        let token = token.unwrap_or_else(|| challenge["token"].as_str().unwrap());
        let object = attestation(&authority, &key, serial, token);
        let answered = client.answer(&challenge, &object).await;
        assert_eq!(answered["status"], "invalid");
        let kind = answered["error"]["type"].as_str().unwrap();
        assert!(kind.ends_with("badAttestationStatement"), "{answered}");
        client.account = None;
        client.key = KeyPair::generate().unwrap();
    }
    let (order, challenge) = client.order("C02SIM").await;
    let early = client.finalize(&order, &key).await;
    assert_eq!(early.status, 403, "{}", early.text());
    let object = attestation(
        &authority,
        &key,
        "C02SIM",
        challenge["token"].as_str().unwrap(),
    );
    client.answer(&challenge, &object).await;
    let other = DeviceKey::generate(KeyKind::P256).unwrap();
    let refused = client.finalize(&order, &other).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("another key"), "{}", refused.text());
    assert_eq!(client.rig.seen().await["acme"]["refused"], 2);
}

#[tokio::test]
async fn a_nonce_is_good_once_and_every_answer_brings_another() {
    let mut client = Client::start().await;
    let used = client.nonce.clone();
    client.order("C02SIM").await;
    client.nonce = used;
    let refused = client.post("https://localhost/acme/new-order", "{}").await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("badNonce"));
    let taken = client.post("https://localhost/acme/new-order", "{}").await;
    assert!(!taken.text().contains("badNonce"), "{}", taken.text());
}
