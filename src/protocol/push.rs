//! Pushes as APNs takes them: what an MDM push contains, and how one is refused.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The largest payload of a push, in bytes (Apple, "Sending notification requests to APNs").
pub const MAX_PAYLOAD: usize = 4096;

/// Why a payload cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PushPayloadError {
    /// Nothing in it.
    #[error("the push has no payload")]
    Empty,
    /// Larger than [`MAX_PAYLOAD`].
    #[error("the payload has {bytes} bytes, but at most {MAX_PAYLOAD} are taken")]
    TooLarge {
        /// Its length in bytes.
        bytes: usize,
    },
    /// No JSON object.
    #[error("the payload is not a JSON object: {what}")]
    NotJson {
        /// What is wrong.
        what: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Payload {
    #[serde(skip_serializing_if = "Option::is_none")]
    mdm: Option<String>,
}

/// Writes the payload of an MDM push: the PushMagic and nothing else.
pub fn payload(magic: &str) -> Vec<u8> {
    serde_json::json!({ "mdm": magic }).to_string().into_bytes()
}

/// The PushMagic in a payload; `None` for a push that is not about MDM.
pub fn magic(payload: &[u8]) -> Result<Option<String>, PushPayloadError> {
    if payload.is_empty() {
        return Err(PushPayloadError::Empty);
    }
    if payload.len() > MAX_PAYLOAD {
        return Err(PushPayloadError::TooLarge {
            bytes: payload.len(),
        });
    }
    // A struct would be read from an array as well.
    let is_object = payload.trim_ascii_start().starts_with(b"{");
    match serde_json::from_slice::<Payload>(payload) {
        Ok(payload) if is_object => Ok(payload.mdm),
        // An object whose `mdm` is something else is a push that says nothing about MDM.
        Ok(_) | Err(_) => serde_json::from_slice::<BTreeMap<Cow<'_, str>, IgnoredAny>>(payload)
            .map(|_| None)
            .map_err(|error| PushPayloadError::NotJson {
                what: error.to_string(),
            }),
    }
}

/// Why APNs refuses a push; named and grouped as Apple does in "Handling notification responses".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are Apple's and explain themselves")]
pub enum Reason {
    BadCollapseId,
    BadDeviceToken,
    BadExpirationDate,
    BadMessageId,
    BadPriority,
    BadTopic,
    DeviceTokenNotForTopic,
    DuplicateHeaders,
    IdleTimeout,
    InvalidPushType,
    MissingDeviceToken,
    MissingTopic,
    PayloadEmpty,
    TopicDisallowed,
    BadCertificate,
    BadCertificateEnvironment,
    ExpiredProviderToken,
    Forbidden,
    InvalidProviderToken,
    MissingProviderToken,
    UnrelatedKeyIdInToken,
    BadEnvironmentKeyIdInToken,
    BadPath,
    MethodNotAllowed,
    ExpiredToken,
    Unregistered,
    PayloadTooLarge,
    TooManyProviderTokenUpdates,
    TooManyRequests,
    InternalServerError,
    ServiceUnavailable,
    Shutdown,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 32] = [
        Self::BadCollapseId,
        Self::BadDeviceToken,
        Self::BadExpirationDate,
        Self::BadMessageId,
        Self::BadPriority,
        Self::BadTopic,
        Self::DeviceTokenNotForTopic,
        Self::DuplicateHeaders,
        Self::IdleTimeout,
        Self::InvalidPushType,
        Self::MissingDeviceToken,
        Self::MissingTopic,
        Self::PayloadEmpty,
        Self::TopicDisallowed,
        Self::BadCertificate,
        Self::BadCertificateEnvironment,
        Self::ExpiredProviderToken,
        Self::Forbidden,
        Self::InvalidProviderToken,
        Self::MissingProviderToken,
        Self::UnrelatedKeyIdInToken,
        Self::BadEnvironmentKeyIdInToken,
        Self::BadPath,
        Self::MethodNotAllowed,
        Self::ExpiredToken,
        Self::Unregistered,
        Self::PayloadTooLarge,
        Self::TooManyProviderTokenUpdates,
        Self::TooManyRequests,
        Self::InternalServerError,
        Self::ServiceUnavailable,
        Self::Shutdown,
    ];

    /// The HTTP status it comes with.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadCollapseId
            | Self::BadDeviceToken
            | Self::BadExpirationDate
            | Self::BadMessageId
            | Self::BadPriority
            | Self::BadTopic
            | Self::DeviceTokenNotForTopic
            | Self::DuplicateHeaders
            | Self::IdleTimeout
            | Self::InvalidPushType
            | Self::MissingDeviceToken
            | Self::MissingTopic
            | Self::PayloadEmpty
            | Self::TopicDisallowed => 400,
            Self::BadCertificate
            | Self::BadCertificateEnvironment
            | Self::ExpiredProviderToken
            | Self::Forbidden
            | Self::InvalidProviderToken
            | Self::MissingProviderToken
            | Self::UnrelatedKeyIdInToken
            | Self::BadEnvironmentKeyIdInToken => 403,
            Self::BadPath => 404,
            Self::MethodNotAllowed => 405,
            Self::ExpiredToken | Self::Unregistered => 410,
            Self::PayloadTooLarge => 413,
            Self::TooManyProviderTokenUpdates | Self::TooManyRequests => 429,
            Self::InternalServerError => 500,
            Self::ServiceUnavailable | Self::Shutdown => 503,
        }
    }

    /// The names of all, in the order of [`Self::ALL`].
    pub const NAMES: [&'static str; 32] = {
        let mut names = [""; 32];
        let mut at = 0;
        while at < names.len() {
            names[at] = Self::ALL[at].name();
            at += 1;
        }
        names
    };

    /// As it is written in the answer.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadCollapseId => "BadCollapseId",
            Self::BadDeviceToken => "BadDeviceToken",
            Self::BadExpirationDate => "BadExpirationDate",
            Self::BadMessageId => "BadMessageId",
            Self::BadPriority => "BadPriority",
            Self::BadTopic => "BadTopic",
            Self::DeviceTokenNotForTopic => "DeviceTokenNotForTopic",
            Self::DuplicateHeaders => "DuplicateHeaders",
            Self::IdleTimeout => "IdleTimeout",
            Self::InvalidPushType => "InvalidPushType",
            Self::MissingDeviceToken => "MissingDeviceToken",
            Self::MissingTopic => "MissingTopic",
            Self::PayloadEmpty => "PayloadEmpty",
            Self::TopicDisallowed => "TopicDisallowed",
            Self::BadCertificate => "BadCertificate",
            Self::BadCertificateEnvironment => "BadCertificateEnvironment",
            Self::ExpiredProviderToken => "ExpiredProviderToken",
            Self::Forbidden => "Forbidden",
            Self::InvalidProviderToken => "InvalidProviderToken",
            Self::MissingProviderToken => "MissingProviderToken",
            Self::UnrelatedKeyIdInToken => "UnrelatedKeyIdInToken",
            Self::BadEnvironmentKeyIdInToken => "BadEnvironmentKeyIdInToken",
            Self::BadPath => "BadPath",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::ExpiredToken => "ExpiredToken",
            Self::Unregistered => "Unregistered",
            Self::PayloadTooLarge => "PayloadTooLarge",
            Self::TooManyProviderTokenUpdates => "TooManyProviderTokenUpdates",
            Self::TooManyRequests => "TooManyRequests",
            Self::InternalServerError => "InternalServerError",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::Shutdown => "Shutdown",
        }
    }

    /// The reason of this name; `None` for one that Apple does not list.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// Whether the same push to the same token can never succeed (Apple: do not try again).
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::BadDeviceToken
                | Self::DeviceTokenNotForTopic
                | Self::Forbidden
                | Self::ExpiredToken
                | Self::Unregistered
                | Self::PayloadTooLarge
        )
    }
}

/// The JSON body of an answer that refuses a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// With 410 alone: when the token was last known to be invalid, in milliseconds since 1970.
    #[serde(rename = "timestamp", default, skip_serializing_if = "Option::is_none")]
    pub timestamp_ms: Option<i64>,
}

impl Refusal {
    /// A refusal without a timestamp.
    pub const fn new(reason: Reason) -> Self {
        Self {
            reason,
            timestamp_ms: None,
        }
    }

    /// A refusal of a token that is gone since `timestamp_ms`, in milliseconds since 1970.
    pub const fn gone(reason: Reason, timestamp_ms: i64) -> Self {
        Self {
            reason,
            timestamp_ms: Some(timestamp_ms),
        }
    }

    /// A refusal at `now_ms`, in milliseconds since 1970: with a timestamp if its status wants one.
    pub const fn at(reason: Reason, now_ms: i64) -> Self {
        match reason.status() {
            410 => Self::gone(reason, now_ms),
            _ => Self::new(reason),
        }
    }

    /// Writes the body.
    pub fn encode(self) -> Vec<u8> {
        let mut body = serde_json::json!({ "reason": self.reason.name() });
        if let Some(timestamp_ms) = self.timestamp_ms {
            body["timestamp"] = timestamp_ms.into();
        }
        body.to_string().into_bytes()
    }

    /// Reads the body as a provider does; `None` for one that is no refusal Apple lists.
    pub fn decode(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_magic_round_trips(text in "\\PC{0,200}") {
            prop_assert_eq!(magic(&payload(&text)), Ok(Some(text)));
        }

        #[test]
        fn a_refusal_round_trips(index in 0..Reason::ALL.len(), timestamp_ms in any::<Option<i64>>()) {
            let refusal = Refusal { reason: Reason::ALL[index], timestamp_ms };
            prop_assert_eq!(Refusal::decode(&refusal.encode()), Some(refusal));
        }

        #[test]
        fn any_payload_is_read_or_refused_without_a_panic(payload in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = magic(&payload);
        }
    }

    #[test]
    fn a_push_of_another_kind_has_no_magic() {
        for payload in [
            r#"{"aps":{"alert":"hello"}}"#,
            r#"{"mdm":7}"#,
            r#" {"mdm":"a","mdm":"b"}"#,
        ] {
            assert_eq!(magic(payload.as_bytes()), Ok(None), "{payload}");
        }
    }

    #[test]
    fn payloads_that_apns_does_not_take_are_refused() {
        assert_eq!(magic(b""), Err(PushPayloadError::Empty));
        assert_eq!(
            magic(&[b' '; MAX_PAYLOAD + 1]),
            Err(PushPayloadError::TooLarge { bytes: 4097 })
        );
        for payload in ["[1", "[\"magic\"]", "null", "\"{}\"", "{} x"] {
            let read = magic(payload.as_bytes());
            let is_refused = matches!(read, Err(PushPayloadError::NotJson { .. }));
            assert!(is_refused, "{payload}: {read:?}");
        }
    }

    #[test]
    fn a_refusal_is_written_as_apns_does() {
        let refusal = |reason, timestamp_ms| {
            String::from_utf8(
                Refusal {
                    reason,
                    timestamp_ms,
                }
                .encode(),
            )
            .unwrap()
        };
        assert_eq!(
            refusal(Reason::BadDeviceToken, None),
            r#"{"reason":"BadDeviceToken"}"#
        );
        assert_eq!(
            refusal(Reason::Unregistered, Some(1_700_000_000_000)),
            r#"{"reason":"Unregistered","timestamp":1700000000000}"#
        );
    }
}
