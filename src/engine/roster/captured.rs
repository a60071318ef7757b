//! A device that exists elsewhere, read from what was captured of it.

use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::record::Kept;
use crate::device::keepsake::Keepsake;
use crate::engine::authority::{AuthorityError, Credential};
use crate::engine::identity::OwnIdentity;
use crate::engine::pki::keys::DeviceKey;
use crate::engine::pki::pkcs12::{Pkcs12, Pkcs12Error};
use crate::ids::BorrowedNames;
use crate::protocol::checkin::{Authenticate, CheckIn, CheckInError, TokenUpdate};

/// What was captured of a device.
#[derive(Clone, Copy, Debug)]
pub struct Captured<'a> {
    /// Its Authenticate message.
    pub authenticate: &'a [u8],
    /// Its last TokenUpdate message.
    pub token_update: &'a [u8],
    /// Its key and certificate.
    pub identity: CapturedIdentity<'a>,
}

/// A key with its certificate, in the form in which it was exported.
#[derive(Clone, Copy)]
pub enum CapturedIdentity<'a> {
    /// As PEM.
    Pem {
        /// The certificate, and perhaps its issuers.
        certificate: &'a str,
        /// The key.
        key: &'a str,
    },
    /// As a PKCS#12 file.
    Pkcs12 {
        /// The file.
        file: &'a [u8],
        /// Its password, which may be empty.
        password: &'a str,
    },
}

impl std::fmt::Debug for CapturedIdentity<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Pem { .. } => "Pem",
            Self::Pkcs12 { .. } => "Pkcs12",
        })
    }
}

/// A device that exists elsewhere and is played here from now on.
#[derive(Debug)]
pub struct Adopted {
    /// Its names and its token.
    pub names: BorrowedNames,
    /// The topic it enrolled with.
    pub topic: String,
    /// Its key and certificate.
    pub identity: OwnIdentity,
    /// What it is and remembers.
    pub kept: Kept,
}

/// Why a device cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub enum CapturedError {
    /// A message cannot be read.
    #[error("its {message} message: {why}")]
    Message {
        /// `Authenticate` or `TokenUpdate`.
        message: &'static str,
        /// What is wrong with it.
        why: CheckInError,
    },
    /// It is another message.
    #[error("a {expected} message was expected, but it is another one")]
    OtherMessage {
        /// What was expected.
        expected: &'static str,
    },
    /// The two are of different devices.
    #[error(
        "the Authenticate message is of {authenticate}, and the TokenUpdate message is of {token_update}"
    )]
    TwoDevices {
        /// One UDID.
        authenticate: String,
        /// The other.
        token_update: String,
    },
    /// The TokenUpdate is of a user.
    #[error("the TokenUpdate message is of a user's channel; that of the device is wanted")]
    OfUser,
    /// The model is not known.
    #[error(
        "its ProductName is {found:?}; one that begins with iPad, iPhone, Mac or AppleTV is wanted"
    )]
    Product {
        /// What was found.
        found: String,
    },
    /// The token has another length.
    #[error("its push token has {found} bytes; only tokens of 32 bytes can be routed here")]
    Token {
        /// The length found.
        found: usize,
    },
    /// Certificate or key cannot be read.
    #[error("its identity: {0}")]
    Identity(#[from] AuthorityError),
    /// The file with both cannot be read.
    #[error("its identity: {0}")]
    Pkcs12(#[from] Pkcs12Error),
    /// The key is of a kind that is not used here.
    #[error("its key cannot be used: RSA, or EC of 256, 384 or 521 bits is wanted")]
    Key,
    /// They do not belong together.
    #[error("its key does not belong to its certificate: give the pair that was made together")]
    Mismatch,
}

impl Captured<'_> {
    /// The device.
    ///
    /// # Errors
    /// The first thing that stands in the way.
    pub fn read(self) -> Result<Adopted, CapturedError> {
        let authenticate = self.authenticate()?;
        let token_update = self.token_update()?;
        if authenticate.udid != token_update.udid {
            return Err(CapturedError::TwoDevices {
                authenticate: authenticate.udid.to_string(),
                token_update: token_update.udid.to_string(),
            });
        }
        if token_update.user.is_some() {
            return Err(CapturedError::OfUser);
        }
        // A Mac says its model in Model too, and may leave ProductName out.
        let model = authenticate.mac.as_ref().map(|mac| mac.model.clone());
        let product = authenticate.product.or(model).unwrap_or_default();
        let platform = platform(&product).ok_or_else(|| CapturedError::Product {
            found: product.clone(),
        })?;
        let token = &token_update.token;
        let names = BorrowedNames {
            udid: authenticate.udid.to_string(),
            serial: authenticate.serial,
            token: token[..]
                .try_into()
                .map_err(|_| CapturedError::Token { found: token.len() })?,
            magic: token_update.magic,
        };
        let keepsake = Keepsake {
            enrolled: true,
            epochs: vec![0],
            os_version: authenticate.os_version,
            ..Keepsake::default()
        };
        Ok(Adopted {
            names,
            topic: token_update.topic,
            identity: self.identity.read()?,
            kept: Kept {
                platform: platform.to_owned(),
                product,
                keepsake,
            },
        })
    }

    fn authenticate(&self) -> Result<Authenticate, CapturedError> {
        let expected = "Authenticate";
        let CheckIn::Authenticate(message) = message(expected, self.authenticate)? else {
            return Err(CapturedError::OtherMessage { expected });
        };
        Ok(message)
    }

    fn token_update(&self) -> Result<TokenUpdate, CapturedError> {
        let expected = "TokenUpdate";
        let CheckIn::TokenUpdate(message) = message(expected, self.token_update)? else {
            return Err(CapturedError::OtherMessage { expected });
        };
        Ok(message)
    }
}

impl CapturedIdentity<'_> {
    fn read(self) -> Result<OwnIdentity, CapturedError> {
        let (chain, key) = match self {
            Self::Pem { certificate, key } => {
                let Credential { chain, key } = Credential::from_pem(certificate, key)?;
                (chain, key)
            }
            Self::Pkcs12 { file, password } => {
                let read = Pkcs12::read(file, password)?;
                let key = PrivatePkcs8KeyDer::from(read.key.pkcs8().to_vec());
                (read.chain(), key.into())
            }
        };
        let usable = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key);
        let usable = usable.map_err(|_| CapturedError::Key)?;
        let pair = CertifiedKey::new(chain.clone(), Arc::clone(&usable));
        pair.keys_match().map_err(|_| CapturedError::Mismatch)?;
        Ok(OwnIdentity {
            key: pkcs8(&key).ok_or(CapturedError::Key)?.into(),
            chain,
            doors: None,
        })
    }
}

fn message(name: &'static str, body: &[u8]) -> Result<CheckIn, CapturedError> {
    CheckIn::decode(body).map_err(|why| CapturedError::Message { message: name, why })
}

/// The platform of a hardware identifier, as rosters name it.
fn platform(product: &str) -> Option<&'static str> {
    let beginnings = [
        ("iPad", "ipad"),
        ("iPhone", "iphone"),
        ("AppleTV", "apple-tv"),
        ("Mac", "mac"),
        ("iMac", "mac"),
        ("VirtualMac", "mac"),
    ];
    let found = beginnings.iter().find(|(it, _)| product.starts_with(it));
    found.map(|(_, platform)| *platform)
}

/// A key as PKCS#8, whichever of the three forms it is in.
fn pkcs8(key: &PrivateKeyDer<'_>) -> Option<Vec<u8>> {
    if let PrivateKeyDer::Pkcs8(key) = key {
        return Some(key.secret_pkcs8_der().to_vec());
    }
    Some(DeviceKey::from_der(key).ok()?.pkcs8().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_tells_its_platform() {
        let known = [
            "iPad13,18",
            "iPhone15,4",
            "Mac14,2",
            "iMac21,1",
            "AppleTV14,1",
        ];
        let platforms = known.map(|it| platform(it).unwrap());
        assert_eq!(platforms, ["ipad", "iphone", "mac", "mac", "apple-tv"]);
        assert_eq!(platform("Watch7,1"), None);
    }
}
