//! What the fuzz targets share: a doorkeeper, and how fuzzed text becomes a push.

use std::time::Duration;

use mdmstorm::apns::admission::{Admission, Incoming, Refused, Storage};
use mdmstorm::apns::bearer::ProviderKey;
use mdmstorm::apns::provider::{Certificate, Environment, Provider};
use mdmstorm::apns::service::Rate;
use mdmstorm::ids::{Channel, Crowd, CrowdId, DeviceId};
use mdmstorm::time::{RunEpoch, WallTime};

/// How many devices there are.
pub const DEVICES: u32 = 10;

/// The topic they enrolled with.
pub const TOPIC: &str = "com.apple.mgmt.a";

/// The one the corpus has tokens of.
pub fn crowd() -> Crowd {
    Crowd::new(CrowdId([1; 4]), [2; 32])
}

/// A doorkeeper with a stale token (device 1), a device that has left (device 2), two keys for bearer
/// tokens and a rate. Its clock began in 2026, so that dates on both sides of today make sense.
pub fn admission() -> Admission {
    let since = WallTime::from_unix_micros(EPOCH_MICROS);
    let storage = Storage {
        without_expiration: true,
        time_scale: 0.001,
    };
    let mut admission = Admission::new(crowd(), TOPIC.into(), RunEpoch(since), DEVICES, storage);
    admission.token_changed(Channel::device(DeviceId(1)), 1, since);
    admission.unregistered(Channel::device(DeviceId(2)), since);
    admission.set_rate(Some(Rate {
        pushes: 2,
        per: Duration::from_secs(1),
    }));
    let key = |key_id: &str, team_id: &str, environment| ProviderKey {
        key_id: key_id.into(),
        team_id: team_id.into(),
        topics: None,
        environment,
        public: vec![4; 65],
    };
    let keys = vec![
        key("KEY1", "TEAM1", None),
        key("KEY2", "TEAM1", Some(Environment::Sandbox)),
        key("KEY3", "TEAM2", None),
    ];
    admission.trust_keys(keys, |_, _, signature| signature.first() == Some(&1));
    admission
}

/// 2026-01-01 in microseconds, as the corpus has it.
pub const EPOCH_MICROS: i64 = 1_767_225_600_000_000;

/// A push written as HTTP/1.1 would have it: a request line, headers, an empty line, the payload. What
/// is not UTF-8 in the head is none. A line `certificate: TOPICS` says what the provider showed.
pub struct Written<'a> {
    lines: Vec<&'a str>,
    payload: &'a [u8],
}

impl<'a> Written<'a> {
    /// Reads it; `None` for a head that is no text.
    pub fn read(data: &'a [u8]) -> Option<Self> {
        let end = data.windows(2).position(|pair| pair == b"\n\n");
        let (head, payload) = match end {
            Some(at) => (&data[..at], &data[at + 2..]),
            None => (data, &[][..]),
        };
        let lines = std::str::from_utf8(head).ok()?.split('\n').collect();
        Some(Self { lines, payload })
    }

    fn header(&self, name: &str) -> Option<&'a str> {
        self.lines[1..].iter().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            (found == name).then_some(value)
        })
    }

    /// As admission takes it.
    pub fn incoming(&self) -> Incoming<'_> {
        let (method, path) = self.lines[0].split_once(' ').unwrap_or((self.lines[0], ""));
        Incoming {
            method,
            path,
            authorization: self.header("authorization"),
            topic: self.header("apns-topic"),
            id: self.header("apns-id"),
            expiration: self.header("apns-expiration"),
            priority: self.header("apns-priority"),
            push_type: self.header("apns-push-type"),
            collapse_id: self.header("apns-collapse-id"),
            has_duplicates: self.header("duplicates").is_some(),
            payload: self.payload,
        }
    }

    /// Who sends it.
    pub fn provider(&self) -> Provider {
        let certificate = self.header("certificate").map(|topics| Certificate {
            topics: topics.split(' ').map(String::from).collect(),
            development: self.header("development").is_some(),
            production: self.header("production").is_some(),
        });
        let environment = match self.header("sandbox") {
            Some(_) => Environment::Sandbox,
            None => Environment::Production,
        };
        Provider::new(certificate, environment)
    }
}

/// A refusal is one that a provider can understand: its status is the reason's, and 410 alone has a
/// timestamp.
pub fn check_refused(refused: &Refused) {
    let refusal = &refused.refusal;
    let status = refusal.reason.status();
    assert!((400..600).contains(&status), "{refusal:?}");
    assert_eq!(status == 410, refusal.timestamp_ms.is_some(), "{refusal:?}");
    if let Some(channel) = refused.channel {
        assert!(channel.device.0 < DEVICES);
    }
}
