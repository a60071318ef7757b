//! Requests of ACME clients: flattened JSON Web Signatures with ECDSA (RFC 8555 section 6.2,
//! RFC 7515, RFC 7638).

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::Deserialize;

use super::problem::Problem;
use crate::engine::identity::sha256;

/// A request before its signature has been checked.
#[derive(Debug)]
pub(super) struct Request {
    /// Who says to have signed it.
    pub(super) signer: Signer,
    /// The URL it was made for.
    pub(super) url: String,
    /// A nonce of ours.
    pub(super) nonce: String,
    /// What it asks for; empty for POST-as-GET.
    pub(super) payload: Vec<u8>,
    algorithm: Algorithm,
    signed: String,
    signature: Vec<u8>,
}

/// Who signed a request.
#[derive(Clone, Debug)]
pub(super) enum Signer {
    /// A key that comes along: of somebody who has no account yet.
    Key(Key),
    /// The URL of an account.
    Account(String),
}

/// The public key of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    algorithm: Algorithm,
    /// The point, uncompressed.
    point: Vec<u8>,
    /// SHA-256 over its canonical form (RFC 7638), in base64url.
    pub(super) thumbprint: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Es256,
    Es384,
}

#[derive(Deserialize)]
struct Flattened {
    protected: String,
    payload: String,
    signature: String,
}

#[derive(Deserialize)]
struct Protected {
    alg: String,
    nonce: String,
    url: String,
    jwk: Option<Jwk>,
    kid: Option<String>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: String,
    x: String,
    y: String,
}

impl Request {
    /// Reads a request.
    pub(super) fn read(body: &[u8]) -> Result<Self, Problem> {
        let malformed = |what: String| Problem::malformed(&what);
        let json: Flattened = serde_json::from_slice(body)
            .map_err(|error| malformed(format!("not a flattened JWS: {error}")))?;
        let decode = |name: &str, text: &str| {
            let decoded = BASE64.decode(text);
            decoded.map_err(|error| malformed(format!("{name} is not base64url: {error}")))
        };
        let protected = decode("protected", &json.protected)?;
        let head: Protected = serde_json::from_slice(&protected)
            .map_err(|error| malformed(format!("the protected header: {error}")))?;
        let algorithm = Algorithm::of(&head.alg)?;
        let signer = match (head.jwk, head.kid) {
            (Some(jwk), None) => Signer::Key(Key::of(&jwk)?),
            (None, Some(account)) => Signer::Account(account),
            (Some(_), Some(_)) | (None, None) => {
                let what = "the protected header has exactly one of jwk and kid";
                return Err(Problem::malformed(what));
            }
        };
        Ok(Self {
            signer,
            url: head.url,
            nonce: head.nonce,
            payload: decode("payload", &json.payload)?,
            algorithm,
            signature: decode("signature", &json.signature)?,
            signed: format!("{}.{}", json.protected, json.payload),
        })
    }

    /// Whether `key` signed it.
    pub(super) fn check(&self, key: &Key) -> Result<(), Problem> {
        if key.algorithm != self.algorithm {
            return Err(Problem::malformed("alg does not fit the account's key"));
        }
        UnparsedPublicKey::new(key.algorithm.verification(), &key.point)
            .verify(self.signed.as_bytes(), &self.signature)
            .map_err(|_| Problem::malformed("the signature does not match the key"))
    }
}

impl Key {
    fn of(jwk: &Jwk) -> Result<Self, Problem> {
        let algorithm = match (jwk.kty.as_str(), jwk.crv.as_str()) {
            ("EC", "P-256") => Algorithm::Es256,
            ("EC", "P-384") => Algorithm::Es384,
            _ => return Err(Problem::bad_algorithm()),
        };
        let mut point = vec![4];
        for coordinate in [&jwk.x, &jwk.y] {
            let bytes = BASE64.decode(coordinate).unwrap_or_default();
            if bytes.len() != algorithm.coordinate_bytes() {
                return Err(Problem::malformed("the jwk is no point of its curve"));
            }
            point.extend(bytes);
        }
        // The members in the order of their names, without spaces (RFC 7638 section 3).
        let canonical = format!(
            r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#,
            jwk.crv, jwk.x, jwk.y
        );
        Ok(Self {
            algorithm,
            point,
            thumbprint: BASE64.encode(sha256(canonical.as_bytes())),
        })
    }
}

impl Algorithm {
    fn of(name: &str) -> Result<Self, Problem> {
        match name {
            "ES256" => Ok(Self::Es256),
            "ES384" => Ok(Self::Es384),
            _ => Err(Problem::bad_algorithm()),
        }
    }

    const fn coordinate_bytes(self) -> usize {
        match self {
            Self::Es256 => 32,
            Self::Es384 => 48,
        }
    }

    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
            Self::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use serde_json::{Value, json};

    use super::*;

    pub(in super::super) fn new_key() -> EcdsaKeyPair {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
    }

    fn jwk(key: &EcdsaKeyPair) -> Value {
        let point = key.public_key().as_ref();
        let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
        json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y })
    }

    /// A signed request; with the key in it when there is no `account`.
    pub(in super::super) fn signed(
        key: &EcdsaKeyPair,
        account: Option<&str>,
        nonce: &str,
        url: &str,
        payload: &[u8],
    ) -> Vec<u8> {
        let mut head = json!({ "alg": "ES256", "nonce": nonce, "url": url });
        match account {
            Some(account) => head["kid"] = account.into(),
            None => head["jwk"] = jwk(key),
        }
        let head = BASE64.encode(head.to_string());
        let payload = BASE64.encode(payload);
        let over = format!("{head}.{payload}");
        let signature = key.sign(&SystemRandom::new(), over.as_bytes()).unwrap();
        let signature = BASE64.encode(signature);
        let json = json!({ "protected": head, "payload": payload, "signature": signature });
        json.to_string().into_bytes()
    }

    #[test]
    fn a_request_is_checked_with_the_key_that_comes_with_it() {
        let key = new_key();
        let body = signed(&key, None, "n", "https://a/new-account", b"{}");
        let request = Request::read(&body).unwrap();
        let Signer::Key(own) = &request.signer else {
            panic!("the key came along");
        };
        request.check(own).unwrap();
        assert_eq!(own.thumbprint.len(), 43);
        let other = signed(&new_key(), None, "n", "https://a/new-account", b"{}");
        let Signer::Key(other) = Request::read(&other).unwrap().signer else {
            panic!("the key came along");
        };
        request.check(&other).unwrap_err();
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let json = |text: &str| Request::read(text.as_bytes()).unwrap_err();
        json("");
        json("{}");
        json(r#"{"protected":"!","payload":"","signature":""}"#);
        let head = BASE64.encode(r#"{"alg":"RS256","nonce":"","url":"","kid":""}"#);
        let body = format!(r#"{{"protected":"{head}","payload":"","signature":""}}"#);
        assert!(json(&body).to_string().contains("badSignatureAlgorithm"));
        let key = r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#;
        let head = format!(r#"{{"alg":"ES256","nonce":"","url":"","jwk":{key}}}"#);
        let head = BASE64.encode(head);
        let body = format!(r#"{{"protected":"{head}","payload":"","signature":""}}"#);
        assert!(json(&body).to_string().contains("no point"));
    }
}
