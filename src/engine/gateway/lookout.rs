//! What is seen of the gateway from outside: each push with all that a person asks about it, and
//! counters of everything.
//!
//! Only `mdmstorm apns` and a run with a plain door have one; without it a push costs nothing more.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::{mpsc, watch};

use super::tally::Tally;
use crate::apns::admission::Incoming;
use crate::fact::{FactKind, Unanswered};
use crate::ids::{Channel, Crowd, PushId, hex_decode};
use crate::protocol::push;
use crate::time::WallTime;

/// How many pushes may wait to be shown; the gateway waits for a reader that is slower.
pub const SEEN_MAX: usize = 1024;

/// The most characters of anything a provider wrote that are shown.
const SHOWN_MAX: usize = 200;

/// How a provider came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Over TLS, straight or through CONNECT.
    Tls,
    /// Over plain HTTP/1.1.
    Plain,
}

/// A push as it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// When its headers were read, as RFC 3339 in UTC.
    pub time: String,
    /// Its number, from 0.
    pub push: u64,
    /// How it came in.
    pub door: Way,
    /// The token in its path, as it was written.
    pub token: String,
    /// Whose token that is; `None` when it is not ours.
    pub owner: Option<Channel>,
    /// The topic it was for, as far as that is known.
    pub topic: Option<String>,
    /// Whether it carried the right PushMagic.
    pub magic: Magic,
    /// What came of it.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The scenario's fault that struck it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<&'static str>,
    /// The `apns-id` it was answered with.
    pub apns_id: String,
    /// `apns-priority`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// `apns-expiration`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration: Option<String>,
    /// `apns-push-type`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push_type: Option<String>,
    /// The length of its payload in bytes; one that is too large is not read to its end.
    pub payload_bytes: usize,
}

/// Whether a push carries the PushMagic that belongs to its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Magic {
    /// It does: the device takes it.
    Right,
    /// It carries another, so the device ignores it.
    Wrong,
    /// It carries none.
    Missing,
    /// The token is not ours, so nobody knows.
    Unknown,
}

impl Magic {
    /// As logs and counters name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Wrong => "wrong",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
        }
    }
}

/// What came of a push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// It was answered.
    Answered {
        /// With this HTTP status.
        status: u16,
        /// And this reason.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It was not.
    Unanswered {
        /// What happened instead.
        how: Unanswered,
    },
}

impl Verdict {
    /// 200.
    pub const ACCEPTED: Self = Self::Answered {
        status: 200,
        reason: None,
    };
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answered {
                status,
                reason: Some(reason),
            } => write!(f, "{status} {reason}"),
            Self::Answered {
                status,
                reason: None,
            } => write!(f, "{status}"),
            Self::Unanswered { how } => f.write_str(match how {
                Unanswered::Hang => "hang",
                Unanswered::Reset => "reset",
                Unanswered::GoAway => "goaway",
            }),
        }
    }
}

/// A push at the moment when its verdict is known.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Sight<'a> {
    pub(in crate::engine) push: PushId,
    pub(in crate::engine) arrived: WallTime,
    pub(in crate::engine) door: Way,
    pub(in crate::engine) incoming: &'a Incoming<'a>,
    /// Whose token it carries, if that is a device of ours.
    pub(in crate::engine) owner: Option<Channel>,
    /// The topic it was admitted for, or that it names, or that of the provider's certificate.
    pub(in crate::engine) topic: Option<&'a str>,
    pub(in crate::engine) apns_id: &'a str,
    pub(in crate::engine) verdict: &'a Verdict,
    pub(in crate::engine) fault: Option<&'static str>,
}

/// A connection that is open.
#[derive(Debug)]
pub(in crate::engine) struct Connected(watch::Sender<Tally>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.send_modify(|tally| tally.connections -= 1);
    }
}

/// Where sights go. Lives on the gateway's thread.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Lookout {
    crowd: Crowd,
    tally: watch::Sender<Tally>,
    shown: Option<mpsc::Sender<Seen>>,
    webhook: Option<mpsc::Sender<Arc<Seen>>>,
    /// What its reader has had no room for.
    unread: Arc<Mutex<VecDeque<Seen>>>,
}

impl Lookout {
    pub(in crate::engine) fn new(
        crowd: Crowd,
        tally: watch::Sender<Tally>,
        shown: Option<mpsc::Sender<Seen>>,
        webhook: Option<mpsc::Sender<Arc<Seen>>>,
    ) -> Self {
        Self {
            crowd,
            tally,
            shown,
            webhook,
            unread: Arc::default(),
        }
    }

    /// Whether its reader is behind: nothing is to be shown before [`Self::catch_up`].
    pub(in crate::engine) fn is_behind(&self) -> bool {
        !self.unread().is_empty()
    }

    /// Waits until its reader has room, so that no push is left out.
    pub(in crate::engine) async fn catch_up(&self) {
        let Some(shown) = &self.shown else { return };
        while self.is_behind() {
            let place = shown.reserve().await;
            let seen = self.unread().pop_front();
            // A reader that has gone away has ended with the gateway.
            if let (Ok(place), Some(seen)) = (place, seen) {
                place.send(seen);
            }
        }
    }

    /// It is made on another thread than it is used on, so it is locked; nobody else ever has it.
    fn unread(&self) -> MutexGuard<'_, VecDeque<Seen>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows and counts a push. A webhook is not waited for.
    pub(in crate::engine) fn saw(&self, sight: Sight<'_>) {
        let seen = self.seen(&sight);
        self.tally.send_modify(|tally| tally.count(&seen));
        if let Some(webhook) = &self.webhook
            && webhook.try_send(Arc::new(seen.clone())).is_err()
        {
            self.tally.send_modify(|tally| tally.webhook.dropped += 1);
        }
        if let Some(shown) = &self.shown {
            let mut unread = self.unread();
            match shown.try_reserve() {
                Ok(place) if unread.is_empty() => place.send(seen),
                Ok(_) | Err(_) => unread.push_back(seen),
            }
        }
    }

    /// Counts what happens to providers.
    pub(in crate::engine) fn note(&self, fact: &FactKind) {
        let (is_refused, is_cut) = (
            matches!(fact, FactKind::ProviderRefused { .. }),
            matches!(fact, FactKind::ProviderCut { .. }),
        );
        if is_refused || is_cut {
            self.tally.send_modify(|tally| {
                tally.providers_refused += u64::from(is_refused);
                tally.providers_cut += u64::from(is_cut);
            });
        }
    }

    /// A connection has been taken; it counts as open until the result is dropped.
    pub(in crate::engine) fn connected(&self) -> Connected {
        self.tally.send_modify(|tally| tally.connections += 1);
        Connected(self.tally.clone())
    }

    /// What tokens derive from.
    pub(super) const fn crowd(&self) -> &Crowd {
        &self.crowd
    }

    /// The counters.
    pub(in crate::engine) const fn tally(&self) -> &watch::Sender<Tally> {
        &self.tally
    }

    fn seen(&self, sight: &Sight<'_>) -> Seen {
        let incoming = sight.incoming;
        let token = incoming.path.strip_prefix("/3/device/").unwrap_or_default();
        let of_crowd = || self.crowd.owner(&hex_decode(token)?);
        let owner = sight.owner.and_then(|_| of_crowd());
        let magic = match (owner, push::magic(incoming.payload)) {
            (None, _) => Magic::Unknown,
            (Some(_), Ok(None) | Err(_)) => Magic::Missing,
            (Some((channel, epoch)), Ok(Some(magic))) => {
                if magic == self.crowd.magic(channel, epoch) {
                    Magic::Right
                } else {
                    Magic::Wrong
                }
            }
        };
        Seen {
            time: sight.arrived.rfc3339(),
            push: sight.push.0,
            door: sight.door,
            token: shown(token),
            owner: owner.map(|(channel, _)| channel),
            topic: sight.topic.map(shown),
            magic,
            verdict: sight.verdict.clone(),
            fault: sight.fault,
            apns_id: shown(sight.apns_id),
            priority: incoming.priority.map(shown),
            expiration: incoming.expiration.map(shown),
            push_type: incoming.push_type.map(shown),
            payload_bytes: incoming.payload.len(),
        }
    }
}

/// The beginning of what a provider wrote.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}
