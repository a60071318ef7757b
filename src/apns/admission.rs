//! Which pushes are let in: the checks of `POST /3/device/<token>` (Apple, "Sending notification
//! requests to APNs" and "Handling notification responses from APNs").
//!
//! Servers differ in what they send. NanoMDM sends no `apns-*` header at all, so nothing but the
//! token and the payload is required, and the topic is taken from the provider's certificate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::slot::Keep;
use crate::device::contract::Urgency;
use crate::ids::{Channel, Crowd, hex_decode};
use crate::protocol::push::{self, PushPayloadError, Reason, Refusal};
use crate::time::{RunEpoch, SimTime, WallTime};

/// A push as it came in, after HTTP/2 and before any check.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The path, `/3/device/<token>`.
    pub path: &'a str,
    /// The topic of the provider's certificate.
    pub certificate_topic: &'a str,
    /// `apns-topic`.
    pub topic: Option<&'a str>,
    /// `apns-id`.
    pub id: Option<&'a str>,
    /// `apns-expiration`.
    pub expiration: Option<&'a str>,
    /// `apns-priority`.
    pub priority: Option<&'a str>,
    /// `apns-push-type`.
    pub push_type: Option<&'a str>,
    /// `apns-collapse-id`.
    pub collapse_id: Option<&'a str>,
    /// The payload.
    pub payload: &'a [u8],
}

/// A push that was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Whose token it carries.
    pub channel: Channel,
    /// The topic it is for.
    pub topic: Arc<str>,
    /// The PushMagic it carries, if any.
    pub magic: Option<Arc<str>>,
    /// What its priority says.
    pub urgency: Urgency,
    /// How long it may be kept.
    pub keep: Keep,
}

/// A push that was refused, and whose it was if the token says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The owner of the token.
    pub channel: Option<Channel>,
}

/// How pushes are kept for devices that cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Storage {
    /// Whether a push without an expiration is kept.
    pub without_expiration: bool,
    /// How much faster than real time expirations pass; they are scenario time.
    pub time_scale: f64,
}

/// The doorkeeper of a gateway.
#[derive(Debug)]
pub struct Admission {
    crowd: Crowd,
    topic: Arc<str>,
    epoch: RunEpoch,
    devices: u32,
    storage: Storage,
    /// Tokens that have changed: the current epoch by channel, where it is not zero; `None` where
    /// no token counts.
    epochs: BTreeMap<Channel, (Option<u32>, WallTime)>,
}

/// The most a payload may have, in bytes.
pub const PAYLOAD_MAX: usize = 4096;

/// The longest a push is stored.
const STORED_AT_MOST: Duration = Duration::from_secs(30 * 24 * 3600);

impl Admission {
    /// A doorkeeper for `devices` devices that enrolled with `topic`.
    pub fn new(
        crowd: Crowd,
        topic: Arc<str>,
        epoch: RunEpoch,
        devices: u32,
        storage: Storage,
    ) -> Self {
        let epochs = BTreeMap::new();
        Self {
            crowd,
            topic,
            epoch,
            devices,
            storage,
            epochs,
        }
    }

    /// Lets a push in at `now`, or says why not.
    ///
    /// # Errors
    /// The refusal that APNs would answer with.
    pub fn admit(&self, now: SimTime, push: &Incoming<'_>) -> Result<Admitted, Refused> {
        let nobody = |reason| Refused {
            refusal: Refusal::new(reason),
            channel: None,
        };
        if push.method != "POST" {
            return Err(nobody(Reason::MethodNotAllowed));
        }
        let Some(token) = push.path.strip_prefix("/3/device/") else {
            return Err(nobody(if push.path == "/3/device" {
                Reason::MissingDeviceToken
            } else {
                Reason::BadPath
            }));
        };
        if token.is_empty() {
            return Err(nobody(Reason::MissingDeviceToken));
        }
        let owner = hex_decode(token).and_then(|bytes| self.crowd.owner(&bytes));
        let Some((channel, epoch)) = owner.filter(|(c, _)| c.device.0 < self.devices) else {
            return Err(nobody(Reason::BadDeviceToken));
        };
        let refused = |refusal| Refused {
            refusal,
            channel: Some(channel),
        };
        check_headers(push).map_err(|reason| refused(Refusal::new(reason)))?;
        self.check_topic(push)
            .map_err(|reason| refused(Refusal::new(reason)))?;
        if let Some(&(current, since)) = self.epochs.get(&channel)
            && current != Some(epoch)
        {
            return Err(refused(Refusal::gone(
                Reason::Unregistered,
                since.unix_micros() / 1_000,
            )));
        }
        let magic = push::magic(push.payload).map_err(|error| {
            refused(Refusal::new(match error {
                PushPayloadError::Empty => Reason::PayloadEmpty,
                PushPayloadError::TooLarge { .. } => Reason::PayloadTooLarge,
                // APNs does not say which; a payload that is no JSON is refused as empty.
                PushPayloadError::NotJson { .. } => Reason::PayloadEmpty,
            }))
        })?;
        let keep = self.keep(now, push.expiration);
        Ok(Admitted {
            channel,
            topic: Arc::clone(&self.topic),
            magic: magic.map(Into::into),
            urgency: match push.priority {
                Some("5" | "1") => Urgency::MayWait,
                Some(_) | None => Urgency::Immediate,
            },
            keep,
        })
    }

    /// From now on the channel's token has another epoch; older tokens are answered with 410.
    pub fn token_changed(&mut self, channel: Channel, epoch: u32, since: WallTime) {
        self.epochs.insert(channel, (Some(epoch), since));
    }

    /// From now on the channel has no token; all are answered with 410 until it has another.
    pub fn unregistered(&mut self, channel: Channel, since: WallTime) {
        self.epochs.insert(channel, (None, since));
    }

    fn check_topic(&self, push: &Incoming<'_>) -> Result<(), Reason> {
        match push.topic {
            Some("") => return Err(Reason::MissingTopic),
            Some(topic) if topic != push.certificate_topic => return Err(Reason::TopicDisallowed),
            Some(_) | None => {}
        }
        if push.certificate_topic != &*self.topic {
            return Err(Reason::DeviceTokenNotForTopic);
        }
        Ok(())
    }

    fn keep(&self, now: SimTime, expiration: Option<&str>) -> Keep {
        let longest = now + STORED_AT_MOST.div_f64(self.storage.time_scale);
        match expiration.and_then(|text| text.parse::<i64>().ok()) {
            Some(0) => Keep::Never,
            Some(at) => {
                let left = at.saturating_mul(1_000_000) - self.epoch.wall(now).unix_micros();
                let left = Duration::from_micros(u64::try_from(left).unwrap_or(0));
                Keep::Until((now + left.div_f64(self.storage.time_scale)).min(longest))
            }
            None if self.storage.without_expiration => Keep::Until(longest),
            None => Keep::Never,
        }
    }
}

fn check_headers(push: &Incoming<'_>) -> Result<(), Reason> {
    if push.id.is_some_and(|id| uuid::Uuid::try_parse(id).is_err()) {
        return Err(Reason::BadMessageId);
    }
    if push
        .expiration
        .is_some_and(|text| text.parse::<i64>().is_err())
    {
        return Err(Reason::BadExpirationDate);
    }
    if push
        .priority
        .is_some_and(|text| !matches!(text, "1" | "5" | "10"))
    {
        return Err(Reason::BadPriority);
    }
    if push.push_type.is_some_and(|kind| kind != "mdm") {
        return Err(Reason::InvalidPushType);
    }
    if push.collapse_id.is_some_and(|id| id.len() > 64) {
        return Err(Reason::BadCollapseId);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CrowdId, DeviceId, hex_lower};

    fn crowd() -> Crowd {
        Crowd {
            id: CrowdId([1; 4]),
            key: [2; 32],
        }
    }

    const STORAGE: Storage = Storage {
        without_expiration: true,
        time_scale: 1.0,
    };

    fn admission() -> Admission {
        Admission::new(
            crowd(),
            "com.apple.mgmt.a".into(),
            RunEpoch::default(),
            10,
            STORAGE,
        )
    }

    fn path(device: u32, epoch: u32) -> String {
        let token = crowd().token(Channel::device(DeviceId(device)), epoch);
        format!("/3/device/{}", hex_lower(&token.0))
    }

    fn nanomdm(path: &str) -> Incoming<'_> {
        Incoming {
            method: "POST",
            path,
            certificate_topic: "com.apple.mgmt.a",
            topic: None,
            id: None,
            expiration: None,
            priority: None,
            push_type: None,
            collapse_id: None,
            payload: br#"{"mdm":"magic"}"#,
        }
    }

    fn reason(push: &Incoming<'_>) -> Reason {
        admission()
            .admit(SimTime::ZERO, push)
            .unwrap_err()
            .refusal
            .reason
    }

    #[test]
    fn a_push_without_any_apns_header_is_let_in() {
        let path = path(3, 0);
        let admitted = admission().admit(SimTime::ZERO, &nanomdm(&path)).unwrap();
        assert_eq!(admitted.channel, Channel::device(DeviceId(3)));
        assert_eq!(admitted.magic.as_deref(), Some("magic"));
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table: one entry for each fault")]
    fn each_fault_of_a_provider_has_its_reason() {
        let good = path(3, 0);
        let base = nanomdm(&good);
        let cases = [
            (
                Incoming {
                    method: "GET",
                    ..base
                },
                Reason::MethodNotAllowed,
            ),
            (
                Incoming {
                    path: "/3/devices",
                    ..base
                },
                Reason::BadPath,
            ),
            (
                Incoming {
                    path: "/3/device/",
                    ..base
                },
                Reason::MissingDeviceToken,
            ),
            (
                Incoming {
                    path: "/3/device/abcd",
                    ..base
                },
                Reason::BadDeviceToken,
            ),
            (
                Incoming {
                    path: "/3/device/xyz",
                    ..base
                },
                Reason::BadDeviceToken,
            ),
            (
                Incoming {
                    topic: Some("other"),
                    ..base
                },
                Reason::TopicDisallowed,
            ),
            (
                Incoming {
                    certificate_topic: "b",
                    ..base
                },
                Reason::DeviceTokenNotForTopic,
            ),
            (
                Incoming {
                    id: Some("7"),
                    ..base
                },
                Reason::BadMessageId,
            ),
            (
                Incoming {
                    expiration: Some("soon"),
                    ..base
                },
                Reason::BadExpirationDate,
            ),
            (
                Incoming {
                    priority: Some("3"),
                    ..base
                },
                Reason::BadPriority,
            ),
            (
                Incoming {
                    push_type: Some("alert"),
                    ..base
                },
                Reason::InvalidPushType,
            ),
            (
                Incoming {
                    payload: b"",
                    ..base
                },
                Reason::PayloadEmpty,
            ),
            (
                Incoming {
                    payload: &[b' '; 4097],
                    ..base
                },
                Reason::PayloadTooLarge,
            ),
        ];
        for (push, expected) in cases {
            assert_eq!(reason(&push), expected, "{push:?}");
        }
        let long = "x".repeat(65);
        let push = Incoming {
            collapse_id: Some(&long),
            ..base
        };
        assert_eq!(reason(&push), Reason::BadCollapseId);
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
            .admit(SimTime::ZERO, &nanomdm(&stale))
            .unwrap_err();
        assert_eq!(refused.refusal, Refusal::gone(Reason::Unregistered, 5_000));
        let fresh = path(3, 1);
        assert!(admission.admit(SimTime::ZERO, &nanomdm(&fresh)).is_ok());
    }

    #[test]
    fn every_token_of_a_channel_that_has_left_is_gone_until_it_returns() {
        let mut admission = admission();
        let channel = Channel::device(DeviceId(3));
        admission.unregistered(channel, WallTime::from_unix_micros(7_000_000));
        for epoch in [0, 1] {
            let path = path(3, epoch);
            let refused = admission.admit(SimTime::ZERO, &nanomdm(&path)).unwrap_err();
            assert_eq!(refused.refusal, Refusal::gone(Reason::Unregistered, 7_000));
            assert_eq!(refused.channel, Some(channel));
        }
        admission.token_changed(channel, 1, WallTime::from_unix_micros(8_000_000));
        let back = path(3, 1);
        assert!(admission.admit(SimTime::ZERO, &nanomdm(&back)).is_ok());
        // Another channel of the device is not concerned.
        let user = Channel { user: 1, ..channel };
        let token = crowd().token(user, 0);
        let path = format!("/3/device/{}", hex_lower(&token.0));
        assert!(admission.admit(SimTime::ZERO, &nanomdm(&path)).is_ok());
    }

    #[test]
    fn expiration_zero_is_never_stored() {
        let path = path(3, 0);
        let push = Incoming {
            expiration: Some("0"),
            ..nanomdm(&path)
        };
        assert_eq!(
            admission().admit(SimTime::ZERO, &push).unwrap().keep,
            Keep::Never
        );
    }
}
