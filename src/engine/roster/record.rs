//! How an entry is written: bytes behind a checksum, so that damage is seen before anything reads
//! them.
//!
//! Issuers' certificates are kept once each and named by their SHA-256, because devices share them.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use crate::device::keepsake::Keepsake;
use crate::device::traits::{Platform, Traits};
use crate::engine::identity::{Doors, OwnIdentity, sha256};

/// What of a device is kept beside its identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Kept {
    /// Kind of device: `ipad`, `iphone`, `mac`, `apple-tv`.
    pub platform: String,
    /// Hardware identifier, `iPad14,1`.
    pub product: String,
    /// What it has to remember.
    pub keepsake: Keepsake,
}

impl Kept {
    /// What is kept of a device with these traits.
    pub fn new(traits: &Traits, keepsake: Keepsake) -> Self {
        Self {
            platform: platform_name(traits.platform).to_owned(),
            product: traits.product.clone(),
            keepsake,
        }
    }
}

/// The name of a platform, as scenarios write it.
pub(super) const fn platform_name(platform: Platform) -> &'static str {
    match platform {
        Platform::Ipad => "ipad",
        Platform::Iphone => "iphone",
        Platform::Mac => "mac",
        Platform::AppleTv => "apple-tv",
    }
}

const SUM: usize = 8;

/// `content` behind its checksum, which counts the device in: an entry in another's place is damage.
pub(super) fn seal(device: u32, content: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(SUM + content.len());
    sealed.extend_from_slice(&checksum(device, content));
    sealed.extend_from_slice(content);
    sealed
}

/// What was sealed; `None` when it is not as it was written.
pub(super) fn unseal(device: u32, sealed: &[u8]) -> Option<&[u8]> {
    let (sum, content) = sealed.split_at_checked(SUM)?;
    (sum == checksum(device, content)).then_some(content)
}

fn checksum(device: u32, content: &[u8]) -> [u8; SUM] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&device.to_be_bytes()).update(content);
    let mut sum = [0; SUM];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..SUM]);
    sum
}

/// An identity as it is written: its issuers are elsewhere.
pub(super) struct Written {
    pub(super) content: Vec<u8>,
    /// The certificates between the device's and a root.
    pub(super) issuers: Vec<CertificateDer<'static>>,
}

/// Writes an identity.
pub(super) fn write_identity(identity: &OwnIdentity) -> Written {
    let mut content = Vec::with_capacity(identity.key.len() + 1024);
    let (leaf, issuers) = match identity.chain.split_first() {
        Some((leaf, issuers)) => (leaf.as_ref(), issuers),
        None => (&[][..], &[][..]),
    };
    put(&mut content, &identity.key);
    put(&mut content, leaf);
    let names: Vec<u8> = issuers.iter().flat_map(|it| sha256(it)).collect();
    put(&mut content, &names);
    if let Some(doors) = &identity.doors {
        put(&mut content, doors.checkin.as_bytes());
        put(&mut content, doors.server.as_bytes());
    }
    Written {
        content,
        issuers: issuers.to_vec(),
    }
}

/// Reads an identity; `issuer` finds a certificate by its SHA-256. `None` when something is missing.
pub(super) fn read_identity(
    mut content: &[u8],
    mut issuer: impl FnMut(&[u8; 32]) -> Option<CertificateDer<'static>>,
) -> Option<OwnIdentity> {
    let key = take(&mut content)?.into();
    let mut chain = vec![CertificateDer::from(take(&mut content)?.to_vec())];
    for name in take(&mut content)?.chunks(32) {
        chain.push(issuer(name.try_into().ok()?)?);
    }
    let doors = if content.is_empty() {
        None
    } else {
        let mut text = || String::from_utf8(take(&mut content)?.to_vec()).ok();
        let (checkin, server) = (text()?, text()?);
        Some(Arc::new(Doors { checkin, server }))
    };
    content
        .is_empty()
        .then_some(OwnIdentity { key, chain, doors })
}

/// The certificate of a written identity.
pub(super) fn read_certificate(mut content: &[u8]) -> Option<&[u8]> {
    take(&mut content)?;
    take(&mut content)
}

fn put(content: &mut Vec<u8>, part: &[u8]) {
    let length = u32::try_from(part.len()).expect("keys and certificates are under 4 GiB");
    content.extend_from_slice(&length.to_be_bytes());
    content.extend_from_slice(part);
}

fn take<'a>(content: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = content.split_first_chunk::<4>()?;
    let (part, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *content = rest;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(issuers: usize, doors: Option<Doors>) -> OwnIdentity {
        OwnIdentity {
            key: vec![1; 40].into(),
            chain: (0..=issuers)
                .map(|n| CertificateDer::from(vec![n as u8; 60]))
                .collect(),
            doors: doors.map(Arc::new),
        }
    }

    #[test]
    fn an_identity_is_read_as_it_was_written() {
        let doors = Doors {
            checkin: "/checkin?d=1".into(),
            server: "/mdm?d=1".into(),
        };
        for identity in [identity(0, None), identity(2, Some(doors))] {
            let written = write_identity(&identity);
            let find = |name: &[u8; 32]| {
                let issuers = written.issuers.iter();
                issuers.into_iter().find(|it| sha256(it) == *name).cloned()
            };
            let read = read_identity(&written.content, find).unwrap();
            assert_eq!(read.key, identity.key);
            assert_eq!(read.chain, identity.chain);
            assert_eq!(read.doors, identity.doors);
            let leaf = read_certificate(&written.content).unwrap();
            assert_eq!(leaf, &*identity.chain[0]);
        }
    }

    #[test]
    fn whatever_is_cut_short_is_no_identity() {
        let written = write_identity(&identity(1, None));
        for end in 0..written.content.len() {
            let any = |_: &[u8; 32]| Some(CertificateDer::from(vec![0]));
            assert!(
                read_identity(&written.content[..end], any).is_none(),
                "{end}"
            );
        }
        assert!(read_identity(&written.content, |_| None).is_none());
    }

    #[test]
    fn damage_and_an_entry_in_the_wrong_place_are_seen() {
        let sealed = seal(7, b"content");
        assert_eq!(unseal(7, &sealed), Some(&b"content"[..]));
        assert_eq!(unseal(8, &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 4;
            assert_eq!(unseal(7, &changed), None, "byte {at}");
            assert_eq!(unseal(7, &sealed[..at]), None, "{at} bytes");
        }
    }
}
