//! Which pushes are let in: the checks of `POST /3/device/<token>` (Apple, "Sending notification
//! requests to APNs" and "Handling notification responses from APNs").
//!
//! Servers differ in what they send. NanoMDM sends no `apns-*` header at all, so nothing but the
//! token and the payload is required, and the topic is taken from the provider's certificate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::bearer::{Keys, ProviderKey, Verify};
use super::pace::Pace;
use super::provider::Provider;
use super::service::Rate;
use super::slot::Keep;
use crate::device::contract::Urgency;
use crate::ids::{Channel, Crowd, hex_array};
use crate::protocol::push::{self, PushPayloadError, Reason, Refusal};
use crate::time::{RunEpoch, SimTime, WallTime};

/// A push as it came in, after HTTP/2 and before any check.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The path, `/3/device/<token>`.
    pub path: &'a str,
    /// `authorization`.
    pub authorization: Option<&'a str>,
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
    /// Whether an `apns-*` header or `authorization` was given more than once.
    pub has_duplicates: bool,
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
    keys: Keys,
    pace: Option<Pace>,
}

/// The most a payload may have, in bytes.
pub const PAYLOAD_MAX: usize = push::MAX_PAYLOAD;

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
            keys: Keys::default(),
            pace: None,
        }
    }

    /// From now on bearer tokens that are signed with one of these keys are taken, and no others.
    pub fn trust_keys(&mut self, keys: Vec<ProviderKey>, verify: Verify) {
        self.keys = Keys::new(keys, verify);
    }

    /// From now on a token may be pushed to so often, in scenario time; `None` for any number.
    pub fn set_rate(&mut self, rate: Option<Rate>) {
        let scale = self.storage.time_scale;
        self.pace = rate.map(|rate| Pace::new(rate.pushes, rate.per.div_f64(scale)));
    }

    /// Whose token is in a path; `None` when it is nobody's here. Whether the token still counts is
    /// not looked at.
    pub fn owner(&self, path: &str) -> Option<Channel> {
        self.bearer_of(path.strip_prefix(PATH)?).map(|(it, _)| it)
    }

    /// Lets a push in at `now`, or says why not. The checks come in the order that they can be seen
    /// to have at Apple's: a provider that is not known learns nothing about a token.
    ///
    /// # Errors
    /// The refusal that APNs would answer with.
    pub fn admit(
        &mut self,
        now: SimTime,
        provider: &mut Provider,
        push: &Incoming<'_>,
    ) -> Result<Admitted, Refused> {
        let owner = push
            .path
            .strip_prefix(PATH)
            .and_then(|it| self.bearer_of(it));
        let channel = owner.map(|(channel, _)| channel);
        let refuse = |reason| Refused {
            refusal: Refusal::new(reason),
            channel,
        };
        check_request(push).map_err(refuse)?;
        let (wall, keys) = (self.epoch.wall(now), &self.keys);
        let topic = provider
            .topic(wall, push.topic, push.authorization, keys)
            .map_err(refuse)?;
        let expiration = check_headers(push).map_err(refuse)?;
        let (channel, epoch) = owner.ok_or_else(|| refuse(Reason::BadDeviceToken))?;
        if topic != &*self.topic {
            return Err(refuse(Reason::DeviceTokenNotForTopic));
        }
        if let Some(&(current, since)) = self.epochs.get(&channel)
            && current != Some(epoch)
        {
            let since_ms = since.unix_micros() / 1_000;
            return Err(Refused {
                refusal: Refusal::gone(Reason::Unregistered, since_ms),
                channel: Some(channel),
            });
        }
        let magic = push::magic(push.payload).map_err(|error| refuse(reason(&error)))?;
        if let Some(pace) = &mut self.pace
            && !pace.allows(channel, now)
        {
            return Err(refuse(Reason::TooManyRequests));
        }
        Ok(Admitted {
            channel,
            topic: Arc::clone(&self.topic),
            magic: magic.map(Into::into),
            urgency: match push.priority {
                Some("5") => Urgency::MayWait,
                Some("1") => Urgency::WakesNobody,
                Some(_) | None => Urgency::Immediate,
            },
            keep: self.keep(now, expiration),
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

    /// The owner of a token, and the epoch it is of.
    fn bearer_of(&self, token: &str) -> Option<(Channel, u32)> {
        let owner = self.crowd.owner(&hex_array::<32>(token)?);
        owner.filter(|(channel, _)| channel.device.0 < self.devices)
    }

    fn keep(&self, now: SimTime, expiration: Option<i64>) -> Keep {
        let longest = now + STORED_AT_MOST.div_f64(self.storage.time_scale);
        match expiration {
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

/// What stands before the token in a path.
const PATH: &str = "/3/device/";

/// Whether it is a request for a push at all.
fn check_request(push: &Incoming<'_>) -> Result<(), Reason> {
    if push.method != "POST" {
        return Err(Reason::MethodNotAllowed);
    }
    match push.path.strip_prefix(PATH) {
        Some("") => return Err(Reason::MissingDeviceToken),
        None if push.path == "/3/device" => return Err(Reason::MissingDeviceToken),
        None => return Err(Reason::BadPath),
        Some(_) => {}
    }
    if push.has_duplicates {
        return Err(Reason::DuplicateHeaders);
    }
    Ok(())
}

/// Checks what the headers say but for the topic, and returns the expiration in seconds since 1970.
fn check_headers(push: &Incoming<'_>) -> Result<Option<i64>, Reason> {
    let is_uuid = |id: &str| uuid::Uuid::try_parse(id).is_ok();
    if push.id.is_some_and(|id| !is_uuid(id)) {
        return Err(Reason::BadMessageId);
    }
    let is_number = |text: &str| text.bytes().all(|it| it.is_ascii_digit());
    let expiration = match push.expiration {
        None => None,
        Some(text) if is_number(text) => Some(text.parse().map_err(|_| Reason::BadExpirationDate)?),
        Some(_) => return Err(Reason::BadExpirationDate),
    };
    if push
        .priority
        .is_some_and(|text| !matches!(text, "1" | "5" | "10"))
    {
        return Err(Reason::BadPriority);
    }
    if push.push_type.is_some_and(|kind| kind != "mdm") {
        return Err(Reason::InvalidPushType);
    }
    if push
        .collapse_id
        .is_some_and(|id| id.len() > COLLAPSE_ID_MAX)
    {
        return Err(Reason::BadCollapseId);
    }
    Ok(expiration)
}

/// The longest `apns-collapse-id`, in bytes.
const COLLAPSE_ID_MAX: usize = 64;

fn reason(error: &PushPayloadError) -> Reason {
    match error {
        PushPayloadError::TooLarge { .. } => Reason::PayloadTooLarge,
        // Of Apple's 32 reasons no other is about what is in a payload: one that holds no JSON
        // object holds no notification, so it counts as empty.
        PushPayloadError::Empty | PushPayloadError::NotJson { .. } => Reason::PayloadEmpty,
    }
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
