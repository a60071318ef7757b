//! Tests of the doorkeeper: each reason, and what a push that is let in says.

use super::*;
use crate::apns::provider::{Certificate, Environment};
use crate::ids::{CrowdId, DeviceId, hex_lower};

fn crowd() -> Crowd {
    Crowd::new(CrowdId([1; 4]), [2; 32])
}

const TOPIC: &str = "com.apple.mgmt.a";

const STORAGE: Storage = Storage {
    without_expiration: true,
    time_scale: 1.0,
};

fn admission() -> Admission {
    Admission::new(crowd(), TOPIC.into(), RunEpoch::default(), 10, STORAGE)
}

fn path(device: u32, epoch: u32) -> String {
    let token = crowd().token(Channel::device(DeviceId(device)), epoch);
    format!("/3/device/{}", hex_lower(&token.0))
}

fn nanomdm(path: &str) -> Incoming<'_> {
    Incoming {
        method: "POST",
        path,
        authorization: None,
        topic: None,
        id: None,
        expiration: None,
        priority: None,
        push_type: None,
        collapse_id: None,
        has_duplicates: false,
        payload: br#"{"mdm":"magic"}"#,
    }
}

/// A provider with a certificate for the topic of the crowd.
fn provider() -> Provider {
    let certificate = Certificate::for_topic(TOPIC);
    Provider::new(Some(certificate), Environment::Production)
}

fn reason(push: &Incoming<'_>) -> Reason {
    let refused = admission().admit(SimTime::ZERO, &mut provider(), push);
    refused.unwrap_err().refusal.reason
}

#[test]
fn a_push_without_any_apns_header_is_let_in() {
    let path = path(3, 0);
    let admitted = admission()
        .admit(SimTime::ZERO, &mut provider(), &nanomdm(&path))
        .unwrap();
    assert_eq!(admitted.channel, Channel::device(DeviceId(3)));
    assert_eq!(admitted.magic.as_deref(), Some("magic"));
}

#[test]
fn a_token_of_a_device_beyond_the_plan_is_bad() {
    let path = path(10, 0);
    assert_eq!(reason(&nanomdm(&path)), Reason::BadDeviceToken);
}

#[test]
fn a_stale_token_is_gone_since_it_changed() {
    let mut admission = admission();
    let channel = Channel::device(DeviceId(3));
    admission.token_changed(channel, 1, WallTime::from_unix_micros(5_000_000));
    let stale = path(3, 0);
    let refused = admission
        .admit(SimTime::ZERO, &mut provider(), &nanomdm(&stale))
        .unwrap_err();
    assert_eq!(refused.refusal, Refusal::gone(Reason::Unregistered, 5_000));
    let fresh = path(3, 1);
    assert!(
        admission
            .admit(SimTime::ZERO, &mut provider(), &nanomdm(&fresh))
            .is_ok()
    );
}

#[test]
fn every_token_of_a_channel_that_has_left_is_gone_until_it_returns() {
    let mut admission = admission();
    let channel = Channel::device(DeviceId(3));
    admission.unregistered(channel, WallTime::from_unix_micros(7_000_000));
    for epoch in [0, 1] {
        let path = path(3, epoch);
        let refused = admission
            .admit(SimTime::ZERO, &mut provider(), &nanomdm(&path))
            .unwrap_err();
        assert_eq!(refused.refusal, Refusal::gone(Reason::Unregistered, 7_000));
        assert_eq!(refused.channel, Some(channel));
    }
    admission.token_changed(channel, 1, WallTime::from_unix_micros(8_000_000));
    let back = path(3, 1);
    assert!(
        admission
            .admit(SimTime::ZERO, &mut provider(), &nanomdm(&back))
            .is_ok()
    );
    // Another channel of the device is not concerned.
    let user = Channel { user: 1, ..channel };
    let token = crowd().token(user, 0);
    let path = format!("/3/device/{}", hex_lower(&token.0));
    assert!(
        admission
            .admit(SimTime::ZERO, &mut provider(), &nanomdm(&path))
            .is_ok()
    );
}

#[test]
fn expiration_zero_is_never_stored() {
    let path = path(3, 0);
    let push = Incoming {
        expiration: Some("0"),
        ..nanomdm(&path)
    };
    assert_eq!(
        admission()
            .admit(SimTime::ZERO, &mut provider(), &push)
            .unwrap()
            .keep,
        Keep::Never
    );
}

#[test]
fn a_push_without_an_expiration_is_kept_for_30_days_or_not_at_all() {
    let path = path(3, 0);
    let keep = |without_expiration| {
        let storage = Storage {
            without_expiration,
            ..STORAGE
        };
        let mut admission = Admission::new(crowd(), TOPIC.into(), RunEpoch::default(), 10, storage);
        let admitted = admission.admit(SimTime::ZERO, &mut provider(), &nanomdm(&path));
        admitted.unwrap().keep
    };
    assert_eq!(keep(true), Keep::Until(SimTime::from_secs(30 * 24 * 3600)));
    assert_eq!(keep(false), Keep::Never);
}

#[test]
fn an_expiration_beyond_30_days_or_long_past_or_huge_is_taken() {
    let path = path(3, 0);
    let keep = |expiration| {
        let push = Incoming {
            expiration: Some(expiration),
            ..nanomdm(&path)
        };
        let admitted = admission().admit(SimTime::from_secs(100), &mut provider(), &push);
        admitted.unwrap().keep
    };
    let longest = Keep::Until(SimTime::from_secs(100 + 30 * 24 * 3600));
    assert_eq!(keep("9223372036854775807"), longest);
    assert_eq!(keep("1"), Keep::Until(SimTime::from_secs(100)));
    assert_eq!(keep("160"), Keep::Until(SimTime::from_secs(160)));
}

#[test]
fn a_token_may_be_pushed_to_as_often_as_the_rate_says_in_scenario_time() {
    let storage = Storage {
        time_scale: 60.0,
        ..STORAGE
    };
    let mut admission = Admission::new(crowd(), TOPIC.into(), RunEpoch::default(), 10, storage);
    admission.set_rate(Some(Rate {
        pushes: 2,
        per: Duration::from_secs(600),
    }));
    let mut push = |device, at| {
        let path = path(device, 0);
        let admitted = admission.admit(SimTime::from_secs(at), &mut provider(), &nanomdm(&path));
        admitted.map(|_| ()).map_err(|it| it.refusal.reason)
    };
    assert_eq!([push(3, 0), push(3, 1)], [Ok(()), Ok(())]);
    assert_eq!(push(3, 9), Err(Reason::TooManyRequests));
    // Another token has a span of its own, and ten minutes pass in ten seconds.
    assert_eq!([push(4, 9), push(3, 10)], [Ok(()), Ok(())]);
    admission.set_rate(None);
    let path = path(3, 0);
    for _ in 0..5 {
        let push = nanomdm(&path);
        let admitted = admission.admit(SimTime::from_secs(11), &mut provider(), &push);
        assert!(admitted.is_ok());
    }
}

#[test]
fn the_owner_of_a_token_is_known_before_anything_is_checked() {
    let admission = admission();
    assert_eq!(
        admission.owner(&path(3, 7)),
        Some(Channel::device(DeviceId(3)))
    );
    assert_eq!(admission.owner(&path(10, 0)), None);
    assert_eq!(admission.owner("/3/device/abcd"), None);
    assert_eq!(admission.owner("/"), None);
}
