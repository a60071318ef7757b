//! Device identities: minted in bulk, kept small, and turned into TLS configurations per wake.
//!
//! A device that is not talking has no TLS object at all: only its key and certificate, as bytes in
//! one arena. A wake loads the key (about 20 us) and clones the shared template (`client_tls`).

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, RwLock};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::authority::{Authority, AuthorityError};
pub use super::client_tls::{ClientTls, TlsError, certified, roots_of_pem, system_roots};
use super::roster::Shelf;
use crate::ids::{Crowd, DeviceId};
use crate::time::WallTime;

/// The keys and certificates of many devices: at most 750 bytes each for those that were issued
/// before the run, and whatever a server handed out for others.
#[derive(Default)]
pub struct Identities {
    /// Issued before the run; in the order of their devices, one per thread that minted.
    arenas: Vec<Arena>,
    /// What devices got in the run or an earlier one; it stands before what was issued.
    own: RwLock<HashMap<DeviceId, Arc<OwnIdentity>>>,
    /// What devices had whose renewed identity the target has not taken yet.
    before: RwLock<HashMap<DeviceId, Arc<OwnIdentity>>>,
    /// Of earlier runs, looked up one by one; for those who are in none of the others.
    shelf: Option<Shelf>,
    /// What the shelf said of late, so that a session reads the disk once. Nothing else changes what
    /// is there: a new identity is in `own`.
    recent: RwLock<HashMap<DeviceId, Option<Arc<OwnIdentity>>>>,
}

/// So many devices' identities of the shelf stay in memory, 2 MB of them; beyond it all are let go.
const RECENT_MAX: usize = 1_000;

/// An identity that a device came by itself.
#[derive(Clone)]
pub struct OwnIdentity {
    /// The key, PKCS#8.
    pub key: Box<[u8]>,
    /// The certificate, then those between it and a root.
    pub chain: Vec<CertificateDer<'static>>,
    /// Where this device's own profile says the target is; `None` where it says what that of all
    /// devices does.
    pub doors: Option<Arc<Doors>>,
}

/// The paths, queries included, of a payload's two URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doors {
    /// Of the CheckInURL.
    pub checkin: String,
    /// Of the ServerURL.
    pub server: String,
}

impl fmt::Debug for OwnIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnIdentity")
            .field("doors", &self.doors)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identities")
            .field("devices", &self.len())
            .finish_non_exhaustive()
    }
}

/// A stretch of devices: for each its PKCS#8 key, then its certificate.
#[derive(Default)]
struct Arena {
    /// In the order of devices.
    places: Vec<Place>,
    bytes: Vec<u8>,
}

/// Where a device's bytes are.
#[derive(Clone, Copy)]
struct Place {
    device: DeviceId,
    key_start: u32,
    /// The certificate ends where the next device's key begins.
    certificate_start: u32,
}

impl Identities {
    /// Mints an identity for each of `devices`, on `threads` threads. Takes about 30 us each.
    pub fn mint(
        authority: &Authority,
        crowd: &Crowd,
        devices: &[DeviceId],
        now: WallTime,
        threads: NonZeroUsize,
    ) -> Result<Self, AuthorityError> {
        let mut devices = devices.to_vec();
        devices.sort_unstable();
        devices.dedup();
        let share = devices.len().div_ceil(threads.get()).max(1);
        let arenas = std::thread::scope(|scope| {
            let minting: Vec<_> = devices
                .chunks(share)
                .map(|devices| scope.spawn(|| Arena::mint(authority, crowd, devices, now)))
                .collect();
            minting
                .into_iter()
                .map(|thread| thread.join().expect("minting does not panic"))
                .collect::<Result<Vec<_>, _>>()
        })?;
        Ok(Self {
            arenas,
            ..Self::default()
        })
    }

    /// The same, with those of earlier runs.
    #[must_use]
    pub fn with_shelf(self, shelf: Option<Shelf>) -> Self {
        Self { shelf, ..self }
    }

    /// Those that were issued before the run, in the form of the others.
    pub fn issued(&self) -> impl Iterator<Item = (DeviceId, OwnIdentity)> {
        let devices = self.arenas.iter().flat_map(|arena| &arena.places);
        devices.filter_map(|place| {
            let (key, certificate) = self.find(place.device)?;
            let identity = OwnIdentity {
                key: key.into(),
                chain: vec![CertificateDer::from(certificate.to_vec())],
                doors: None,
            };
            Some((place.device, identity))
        })
    }

    /// A device's identity in the form of those that devices come by themselves.
    pub fn copied(&self, device: DeviceId) -> Option<OwnIdentity> {
        if let Some(own) = self.own(device) {
            return Some(OwnIdentity::clone(&own));
        }
        let (key, certificate) = self.find(device)?;
        Some(OwnIdentity {
            key: key.into(),
            chain: vec![CertificateDer::from(certificate.to_vec())],
            doors: None,
        })
    }

    /// From now on the device has this identity.
    pub fn put(&self, device: DeviceId, identity: Arc<OwnIdentity>) {
        let mut own = self.own.write().expect("no holder of this lock panics");
        own.insert(device, identity);
    }

    /// The device renews its identity: the one it has is kept, in case that the target refuses the
    /// new one.
    pub fn set_aside(&self, device: DeviceId) {
        let Some(identity) = self.copied(device) else {
            return;
        };
        let mut before = self.before.write().expect("no holder of this lock panics");
        before.insert(device, Arc::new(identity));
    }

    /// The identity that a device had before it renewed it, as long as the target has not taken the
    /// new one.
    pub fn before(&self, device: DeviceId) -> Option<OwnIdentity> {
        let before = self.before.read().expect("no holder of this lock panics");
        before.get(&device).map(|it| OwnIdentity::clone(it))
    }

    /// The target has taken the identity that the device has.
    pub fn settle(&self, device: DeviceId) {
        let is_known = {
            let before = self.before.read().expect("no holder of this lock panics");
            before.contains_key(&device)
        };
        if is_known {
            let mut before = self.before.write().expect("no holder of this lock panics");
            before.remove(&device);
        }
    }

    /// The identity a device came by itself or has from an earlier run, if it did.
    pub fn own(&self, device: DeviceId) -> Option<Arc<OwnIdentity>> {
        let own = self.own.read().expect("no holder of this lock panics");
        if let Some(own) = own.get(&device) {
            return Some(Arc::clone(own));
        }
        drop(own);
        if self.find(device).is_some() {
            return None;
        }
        let shelf = self.shelf.as_ref()?;
        let recent = self.recent.read().expect("no holder of this lock panics");
        if let Some(known) = recent.get(&device) {
            return known.clone();
        }
        drop(recent);
        let found = shelf.identity(device).map(Arc::new);
        let mut recent = self.recent.write().expect("no holder of this lock panics");
        if recent.len() >= RECENT_MAX {
            recent.clear();
        }
        recent.insert(device, found.clone());
        found
    }

    /// How many devices were issued an identity before the run.
    pub fn len(&self) -> usize {
        self.arenas.iter().map(|arena| arena.places.len()).sum()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.arenas.is_empty()
    }

    /// The device's certificate as DER; `None` for a device that has none.
    pub fn certificate_der(&self, device: DeviceId) -> Option<Vec<u8>> {
        match self.own(device) {
            Some(own) => own.chain.first().map(|certificate| certificate.to_vec()),
            None => self
                .find(device)
                .map(|(_, certificate)| certificate.to_vec()),
        }
    }

    /// The SHA-256 of the device's certificate, which servers know it by.
    pub fn sha256(&self, device: DeviceId) -> Option<[u8; 32]> {
        self.certificate_der(device).map(|der| sha256(&der))
    }

    /// The device's key and certificate, ready for TLS and signatures; loads the key each time.
    pub fn certified_key(&self, device: DeviceId) -> Option<Arc<CertifiedKey>> {
        if let Some(own) = self.own(device) {
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(&*own.key));
            let key = aws_lc_rs::sign::any_supported_type(&key).ok()?;
            return Some(Arc::new(CertifiedKey::new(own.chain.clone(), key)));
        }
        let (key, certificate) = self.find(device)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
        // Not `any_supported_type`, which first reads the whole key as an RSA one.
        let key = aws_lc_rs::sign::any_ecdsa_type(&key).expect("keys minted here are P-256");
        let chain = vec![CertificateDer::from(certificate.to_vec())];
        Some(Arc::new(CertifiedKey::new(chain, key)))
    }

    fn find(&self, device: DeviceId) -> Option<(&[u8], &[u8])> {
        let after = self
            .arenas
            .partition_point(|arena| arena.places.first().is_some_and(|p| p.device <= device));
        let arena = self.arenas.get(after.checked_sub(1)?)?;
        let at = arena
            .places
            .binary_search_by_key(&device, |place| place.device)
            .ok()?;
        let place = arena.places[at];
        let end = match arena.places.get(at + 1) {
            Some(next) => next.key_start as usize,
            None => arena.bytes.len(),
        };
        let certificate_start = place.certificate_start as usize;
        Some((
            &arena.bytes[place.key_start as usize..certificate_start],
            &arena.bytes[certificate_start..end],
        ))
    }
}

impl Arena {
    fn mint(
        authority: &Authority,
        crowd: &Crowd,
        devices: &[DeviceId],
        now: WallTime,
    ) -> Result<Self, AuthorityError> {
        let mut arena = Self {
            places: Vec::with_capacity(devices.len()),
            bytes: Vec::new(),
        };
        // 32 bits reach 4 GiB: seven million devices in one arena.
        let place = |bytes: &Vec<u8>| u32::try_from(bytes.len()).expect("an arena is under 4 GiB");
        for &device in devices {
            let minted = authority.device_certificate(&crowd.udid(device), now)?;
            let key_start = place(&arena.bytes);
            arena.bytes.extend_from_slice(minted.key.secret_der());
            let certificate_start = place(&arena.bytes);
            arena.bytes.extend_from_slice(&minted.chain[0]);
            arena.places.push(Place {
                device,
                key_start,
                certificate_start,
            });
        }
        arena.bytes.shrink_to_fit();
        Ok(arena)
    }
}

/// The SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, bytes);
    let mut sum = [0_u8; 32];
    sum.copy_from_slice(digest.as_ref());
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CrowdId;

    const NOW: WallTime = WallTime::from_unix_micros(1_790_000_000_000_000);

    fn mint(devices: &[u32], threads: usize) -> (Authority, Crowd, Identities) {
        let (authority, _) = Authority::create("test", NOW).unwrap();
        let crowd = Crowd::new(CrowdId([7; 4]), [7; 32]);
        let devices: Vec<DeviceId> = devices.iter().copied().map(DeviceId).collect();
        let threads = NonZeroUsize::new(threads).unwrap();
        let identities = Identities::mint(&authority, &crowd, &devices, NOW, threads).unwrap();
        (authority, crowd, identities)
    }

    #[test]
    fn every_device_finds_its_own_identity_and_no_other() {
        let devices = [5, 1, 9, 12, 3];
        let (_, crowd, identities) = mint(&devices, 2);
        assert_eq!(identities.len(), 5);
        for device in devices.map(DeviceId) {
            let certificate = identities.certificate_der(device).unwrap();
            let udid = crowd.udid(device);
            assert!(
                certificate
                    .windows(udid.len())
                    .any(|w| w == udid.as_bytes())
            );
            let loaded = identities.certified_key(device).unwrap();
            assert_eq!(loaded.cert[0].to_vec(), certificate);
            loaded.keys_match().unwrap();
        }
        for absent in [0, 2, 13] {
            assert!(identities.certified_key(DeviceId(absent)).is_none());
        }
    }

    #[test]
    fn an_identity_takes_at_most_750_bytes() {
        let devices: Vec<u32> = (0..100).collect();
        let (_, _, identities) = mint(&devices, 1);
        let arena = &identities.arenas[0];
        let bytes = arena.bytes.capacity() + arena.places.capacity() * size_of::<Place>();
        assert!(bytes <= 100 * 750, "{} bytes each", bytes / 100);
    }

    /// A refused renewal found nothing to go back to: the new identity had taken the old one's place.
    #[test]
    fn what_a_device_had_is_there_until_the_target_takes_what_it_has() {
        let (_, _, identities) = mint(&[4], 1);
        let device = DeviceId(4);
        assert!(identities.before(device).is_none());
        let old = identities.certificate_der(device).unwrap();
        identities.set_aside(device);
        let new = OwnIdentity {
            key: vec![1].into(),
            chain: vec![CertificateDer::from(vec![2])],
            doors: None,
        };
        identities.put(device, Arc::new(new));
        assert_eq!(identities.certificate_der(device).unwrap(), [2]);
        let before = identities.before(device).unwrap();
        assert_eq!(before.chain[0].to_vec(), old);
        identities.settle(device);
        assert!(identities.before(device).is_none());
    }

    #[test]
    fn no_devices_need_no_identities() {
        let (_, _, identities) = mint(&[], 4);
        assert!(identities.is_empty());
        assert!(identities.sha256(DeviceId(0)).is_none());
    }

    #[test]
    fn a_client_with_an_identity_shows_it() {
        let (authority, _, identities) = mint(&[0], 1);
        let roots = roots_of_pem(&authority.certificate_pem()).unwrap();
        let tls = ClientTls::new(roots, 0, "http/1.1").unwrap();
        let identity = identities.certified_key(DeviceId(0));
        assert!(
            tls.config_for(identity)
                .client_auth_cert_resolver
                .has_certs()
        );
        assert!(!tls.config_for(None).client_auth_cert_resolver.has_certs());
        assert!(roots_of_pem("nothing").is_err());
    }
}
