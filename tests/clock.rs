//! A device's wrong clock makes a real TLS handshake fail, over a real socket, until it is right.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod probe_rig;

use std::num::NonZeroUsize;
use std::sync::Arc;

use mdmstorm::device::contract::Trip;
use mdmstorm::engine::authority::{Authority, LOCAL_NAMES};
use mdmstorm::engine::clock::wall_now;
use mdmstorm::engine::identity::{Identities, roots_of_pem};
use mdmstorm::engine::probe::Probe;
use mdmstorm::fact::Broken;
use mdmstorm::ids::{Crowd, CrowdId, DeviceId};
use probe_rig::{EMPTY, TIMEOUT, Target, idle};
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// A target whose certificate is valid now, which wants to see the device's, and one device.
struct Rig {
    target: Target,
    device: Probe,
}

impl Rig {
    async fn start() -> Self {
        let now = wall_now();
        let (authority, _) = Authority::create("test", now).unwrap();
        let server = authority.server_certificate(&LOCAL_NAMES, now).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = roots_of_pem(&authority.certificate_pem()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
        // As a server does that resumes sessions: tickets are sent with every handshake.
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(server.chain, server.key)
            .unwrap();
        tls.ticketer = aws_lc_rs::Ticketer::new().unwrap();
        let target = Target::start(Some(TlsAcceptor::from(Arc::new(tls))), EMPTY, None).await;
        let crowd = Crowd::new(CrowdId([1; 4]), [1; 32]);
        let devices = [DeviceId(0)];
        let identities = Identities::mint(&authority, &crowd, &devices, now, NonZeroUsize::MIN);
        let url = format!("https://{}/mdm", target.address);
        let roots = authority.certificate_pem();
        let device = Probe::new(&url, Some(&roots), Arc::new(identities.unwrap()), TIMEOUT);
        Self {
            target,
            device: device.unwrap(),
        }
    }

    /// One session of a device whose clock is `ahead_us` ahead.
    async fn session(&mut self, ahead_us: i64) -> Result<u16, Broken> {
        let request = idle(&self.device, ahead_us, Trip::default());
        let reply = self.device.carry(&request).await;
        self.device.close();
        reply.answer.map(|answer| answer.status)
    }

    async fn refusal(&mut self, ahead_us: i64) -> String {
        match self.session(ahead_us).await {
            Err(Broken::Tls(why)) => why,
            other => panic!("expected a failed handshake, found {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_device_400_days_ahead_finds_the_certificate_expired_and_recovers() {
    let mut rig = Rig::start().await;
    assert_eq!(rig.session(0).await, Ok(200));
    let why = rig.refusal(400 * DAY_US).await;
    assert!(
        why.starts_with("the certificate is expired: valid until"),
        "{why}"
    );
    assert_eq!(rig.session(0).await, Ok(200));
    // The failed handshake was a real one, and nothing was asked over it.
    assert_eq!(rig.target.connections(), 3);
    assert!(rig.target.requests.recv().await.is_some());
    assert!(rig.target.requests.recv().await.is_some());
    assert!(rig.target.requests.try_recv().is_err());
}

#[tokio::test]
async fn a_device_before_the_certificates_beginning_finds_it_not_yet_valid_and_recovers() {
    let mut rig = Rig::start().await;
    // 2000, after a flat battery; two days ago; and 1970.
    for ahead in [-9_800 * DAY_US, -2 * DAY_US, i64::MIN / 2] {
        // A session before: what it left must not let the next one in.
        assert_eq!(rig.session(0).await, Ok(200));
        let why = rig.refusal(ahead).await;
        assert!(why.starts_with("the certificate is not yet valid"), "{why}");
    }
    assert_eq!(rig.session(0).await, Ok(200));
}

#[tokio::test]
async fn a_clock_that_is_wrong_within_the_certificates_validity_changes_nothing() {
    let mut rig = Rig::start().await;
    for ahead in [-60_000_000, -1, 1, 11 * 60_000_000, 30 * DAY_US] {
        assert_eq!(rig.session(ahead).await, Ok(200));
    }
}
