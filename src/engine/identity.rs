//! Device identities: minted in bulk, kept small, and turned into TLS configurations per wake.
//!
//! A device that is not talking has no TLS object at all: only its key and certificate, as bytes in
//! one arena. A wake loads the key (about 20 us) and clones the shared template.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};

use super::authority::{Authority, AuthorityError, Credential, certificates_of};
use super::clock::wall_now;
use crate::ids::{Crowd, DeviceId};
use crate::time::WallTime;

/// What is wrong with TLS material.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A root certificate or key cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The TLS library refused a key, certificate or setting.
    #[error("the TLS library refused it: {0}")]
    Rustls(#[from] rustls::Error),
    /// The operating system offers no root certificates.
    #[error("this machine has no root certificates ({0}): install ca-certificates, or name a ca")]
    NoSystemRoots(String),
    /// A name that no certificate can carry.
    #[error("{0} (expected a host name or an address)")]
    ServerName(String),
    /// A push certificate that is none.
    #[error("the certificate is for no push topic: its subject has no UID")]
    NoTopic,
}

/// The keys and certificates of many devices, at most 750 bytes each.
#[derive(Default)]
pub struct Identities {
    /// In the order of their devices; one per thread that minted.
    arenas: Vec<Arena>,
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
        Ok(Self { arenas })
    }

    /// How many devices have an identity.
    pub fn len(&self) -> usize {
        self.arenas.iter().map(|arena| arena.places.len()).sum()
    }

    /// Whether no device has one.
    pub fn is_empty(&self) -> bool {
        self.arenas.is_empty()
    }

    /// The device's certificate as DER; `None` for a device that has none.
    pub fn certificate_der(&self, device: DeviceId) -> Option<&[u8]> {
        self.find(device).map(|(_, certificate)| certificate)
    }

    /// The SHA-256 of the device's certificate, which servers know it by.
    pub fn sha256(&self, device: DeviceId) -> Option<[u8; 32]> {
        self.certificate_der(device).map(sha256)
    }

    /// The device's key and certificate, ready for TLS and signatures; loads the key each time.
    pub fn certified_key(&self, device: DeviceId) -> Option<Arc<CertifiedKey>> {
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

/// What the certificate-checking side of TLS takes the time from: the operating system's clock,
/// shifted as far as the device's own clock is wrong.
#[derive(Debug)]
struct ShiftedClock {
    offset_ms: i64,
}

impl TimeProvider for ShiftedClock {
    fn current_time(&self) -> Option<UnixTime> {
        let shifted_ms = (wall_now().unix_micros() / 1000).saturating_add(self.offset_ms);
        let since = Duration::from_millis(u64::try_from(shifted_ms).unwrap_or(0));
        Some(UnixTime::since_unix_epoch(since))
    }
}

/// The template of one clock's TLS clients: made once, cloned per wake.
#[derive(Clone, Debug)]
pub struct ClientTls {
    anonymous: Arc<ClientConfig>,
    offset_ms: i64,
}

impl ClientTls {
    /// Clients that trust `roots`, whose clock is `offset_ms` milliseconds ahead, and that offer the
    /// application protocol `protocol` (`http/1.1`, `h2`).
    ///
    /// Sessions are never resumed: a resumed session does not check the certificate again, which
    /// would hide a wrong clock.
    pub fn new(
        roots: Arc<RootCertStore>,
        offset_ms: i64,
        protocol: &str,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let clock = Arc::new(ShiftedClock { offset_ms });
        let mut config = ClientConfig::builder_with_details(provider, clock)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Ok(Self {
            anonymous: Arc::new(config),
            offset_ms,
        })
    }

    /// The configuration of a client that shows `identity` when asked for a certificate.
    pub fn config_for(&self, identity: Option<Arc<CertifiedKey>>) -> Arc<ClientConfig> {
        self.config_ahead(identity, 0)
    }

    /// The same for a client whose own clock is `ahead_us` microseconds ahead of the template's, or
    /// behind when it is negative: one clone, whatever the clock.
    pub fn config_ahead(
        &self,
        identity: Option<Arc<CertifiedKey>>,
        ahead_us: i64,
    ) -> Arc<ClientConfig> {
        if identity.is_none() && ahead_us == 0 {
            return Arc::clone(&self.anonymous);
        }
        let mut config = ClientConfig::clone(&self.anonymous);
        if let Some(identity) = identity {
            config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(identity));
        }
        if ahead_us != 0 {
            let offset_ms = self.offset_ms.saturating_add(ahead_us.div_euclid(1000));
            config.time_provider = Arc::new(ShiftedClock { offset_ms });
        }
        Arc::new(config)
    }
}

/// A credential ready for TLS.
pub fn certified(credential: &Credential) -> Result<Arc<CertifiedKey>, TlsError> {
    let key = aws_lc_rs::sign::any_supported_type(&credential.key)?;
    Ok(Arc::new(CertifiedKey::new(credential.chain.clone(), key)))
}

/// The roots in a PEM text, which must hold at least one.
pub fn roots_of_pem(pem: &str) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates_of(pem)? {
        roots.add(certificate)?;
    }
    Ok(Arc::new(roots))
}

/// The roots that this machine trusts.
pub fn system_roots() -> Result<Arc<RootCertStore>, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TlsError::NoSystemRoots(reasons.join("; ")));
    }
    Ok(Arc::new(roots))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CrowdId;

    const NOW: WallTime = WallTime::from_unix_micros(1_790_000_000_000_000);

    fn mint(devices: &[u32], threads: usize) -> (Authority, Crowd, Identities) {
        let (authority, _) = Authority::create("test", NOW).unwrap();
        let crowd = Crowd {
            id: CrowdId([7; 4]),
            key: [7; 32],
        };
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
            assert_eq!(&loaded.cert[0][..], certificate);
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
