//! What the network does to a device's requests, and redirects, on real sockets.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod probe_rig;

use std::sync::Arc;
use std::time::Duration;

use mdmstorm::device::contract::{Fate, Reply, Trip};
use mdmstorm::engine::identity::Identities;
use mdmstorm::engine::probe::Probe;
use mdmstorm::fact::Broken;
use probe_rig::{Answers, EMPTY, Seen, TIMEOUT, Target, idle};

fn device(target: &Target, timeout: Duration) -> Probe {
    let url = format!("http://{}/mdm", target.address);
    Probe::new(&url, None, Arc::new(Identities::default()), timeout).unwrap()
}

async fn rig() -> (Target, Probe) {
    let target = Target::start(None, EMPTY, None).await;
    let device = device(&target, TIMEOUT);
    (target, device)
}

async fn carry(device: &mut Probe, trip: Trip) -> Reply {
    let request = idle(device, 0, trip);
    device.carry(&request).await
}

async fn meets(device: &mut Probe, fate: Fate) -> Reply {
    let trip = Trip {
        fate,
        ..Trip::default()
    };
    carry(device, trip).await
}

/// How many requests the target has seen since the last time.
fn seen(target: &mut Target) -> usize {
    std::iter::from_fn(|| target.requests.try_recv().ok()).count()
}

#[tokio::test]
async fn latency_and_slow_reads_pass_before_the_target_is_asked() {
    let (mut target, mut device) = rig().await;
    let trip = Trip {
        latency: Duration::from_millis(60),
        slow_read: Duration::from_millis(40),
        fate: Fate::Arrives,
    };
    for _ in 0..2 {
        let Reply { stamps, answer } = carry(&mut device, trip.clone()).await;
        assert_eq!(answer.unwrap().status, 200);
        let sent = stamps.sent.unwrap();
        assert!(
            sent - stamps.permitted >= Duration::from_millis(100),
            "{stamps:?}"
        );
        assert!(stamps.first_byte.unwrap() >= sent && stamps.read >= sent);
    }
    // Both over one connection.
    assert_eq!((seen(&mut target), target.connections()), (2, 1));
}

#[tokio::test]
async fn a_refusal_of_tls_touches_no_network() {
    let (mut target, mut device) = rig().await;
    let Reply { stamps, answer } = meets(&mut device, Fate::RefusesTls("its clock".into())).await;
    assert_eq!(answer, Err(Broken::Tls("its clock".into())));
    assert_eq!((stamps.connected, stamps.sent), (None, None));
    // The next one is the first that the target hears of.
    assert!(meets(&mut device, Fate::Arrives).await.answer.is_ok());
    assert_eq!((seen(&mut target), target.connections()), (1, 1));
}

#[tokio::test]
async fn a_lost_request_times_out_and_nothing_was_sent() {
    let mut target = Target::start(None, EMPTY, None).await;
    let mut hasty = device(&target, Duration::from_millis(50));
    let Reply { stamps, answer } = meets(&mut hasty, Fate::Lost).await;
    assert_eq!(answer, Err(Broken::TimedOut));
    assert!(stamps.read - stamps.permitted >= Duration::from_millis(50));
    assert_eq!(stamps.sent, None);
    let mut patient = device(&target, TIMEOUT);
    assert!(meets(&mut patient, Fate::Arrives).await.answer.is_ok());
    assert_eq!((seen(&mut target), target.connections()), (1, 1));
}

#[tokio::test]
async fn a_connection_cut_before_carries_nothing_and_one_cut_after_everything() {
    let (mut target, mut device) = rig().await;
    let before = meets(&mut device, Fate::CutBefore).await;
    assert!(matches!(before.answer, Err(Broken::Cut(_))), "{before:?}");
    assert!(before.stamps.connected.is_some() && before.stamps.sent.is_none());
    assert_eq!(seen(&mut target), 0);
    let after = meets(&mut device, Fate::CutAfter).await;
    assert!(matches!(after.answer, Err(Broken::Cut(_))), "{after:?}");
    assert!(after.stamps.first_byte.is_some());
    assert_eq!((seen(&mut target), target.connections()), (1, 2));
    assert!(!device.is_open());
    // Also on a connection that is open: it is not taken for one that had gone stale.
    assert!(meets(&mut device, Fate::Arrives).await.answer.is_ok());
    let before = meets(&mut device, Fate::CutBefore).await;
    assert!(matches!(before.answer, Err(Broken::Cut(_))), "{before:?}");
    assert_eq!((seen(&mut target), target.connections()), (1, 3));
}

fn path(seen: &Seen) -> (&str, &str, &[u8]) {
    (&seen.method, &seen.path, &seen.body)
}

#[tokio::test]
async fn a_redirect_is_followed_to_another_host_and_never_remembered() {
    let mut other = Target::start(None, EMPTY, None).await;
    let away: Answers = |_, other| (301, Some(format!("http://{other}/elsewhere")));
    let mut target = Target::start(None, away, Some(other.address)).await;
    let mut device = device(&target, TIMEOUT);
    for _ in 0..2 {
        let reply = meets(&mut device, Fate::Arrives).await;
        assert_eq!(reply.answer.unwrap().status, 200);
        let first = target.requests.try_recv().unwrap();
        assert_eq!(path(&first), ("PUT", "/mdm", &b"idle"[..]));
        let second = other.requests.try_recv().unwrap();
        assert_eq!(path(&second), ("PUT", "/elsewhere", &b"idle"[..]));
        assert!(!device.is_open());
    }
}

#[tokio::test]
async fn a_redirect_to_the_same_host_stays_on_its_connection() {
    let on: Answers = |path, _| match path {
        "/mdm" => (308, Some("/a".into())),
        "/a" => (302, Some("b".into())),
        _ => (200, None),
    };
    let mut target = Target::start(None, on, None).await;
    let mut device = device(&target, TIMEOUT);
    let reply = meets(&mut device, Fate::Arrives).await;
    assert_eq!(reply.answer.unwrap().status, 200);
    assert_eq!((seen(&mut target), target.connections()), (3, 1));
    assert!(device.is_open());
    let reply = meets(&mut device, Fate::Arrives).await;
    assert!(reply.answer.is_ok());
    assert_eq!((seen(&mut target), target.connections()), (3, 1));
}

#[tokio::test]
async fn redirects_end_after_five_and_lead_to_no_public_address() {
    let round: Answers = |_, _| (307, Some("/mdm".into()));
    let mut target = Target::start(None, round, None).await;
    let mut going_round = device(&target, TIMEOUT);
    let reply = meets(&mut going_round, Fate::Arrives).await;
    let Err(Broken::Malformed(why)) = reply.answer else {
        panic!("followed without end")
    };
    assert!(why.contains("more than 5 redirects"), "{why}");
    assert_eq!(seen(&mut target), 6);
    let out: Answers = |_, _| (301, Some("http://198.51.100.1/mdm".into()));
    let target = Target::start(None, out, None).await;
    let reply = meets(&mut device(&target, TIMEOUT), Fate::Arrives).await;
    let Err(Broken::Malformed(why)) = reply.answer else {
        panic!("went to a public address")
    };
    assert!(why.contains("a public address"), "{why}");
}

#[tokio::test]
async fn a_3xx_that_leads_nowhere_is_an_answer() {
    let nowhere: Answers = |_, _| (304, None);
    let target = Target::start(None, nowhere, None).await;
    let reply = meets(&mut device(&target, TIMEOUT), Fate::Arrives).await;
    assert_eq!(reply.answer.unwrap().status, 304);
}
