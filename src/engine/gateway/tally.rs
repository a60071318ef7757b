//! Counters of a gateway, and how they are shown as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::lookout::{Seen, Verdict};
use crate::apns::pending::PendingCounts;

/// How many topics are counted by name; a provider can invent any number of them.
const TOPICS_MAX: usize = 32;

/// How many verdicts are counted by name: more than there are reasons, fewer than the statuses that a
/// scenario can answer with.
const VERDICTS_MAX: usize = 128;

/// What is counted under when there are too many names.
const OTHERS: &str = "(others)";

/// Counters since the gateway began.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Connections that are open, through all doors.
    pub connections: u64,
    /// Pushes.
    pub pushes: u64,
    /// Pushes by what came of them: `200`, `410 Unregistered`, `hang`.
    pub verdicts: BTreeMap<String, u64>,
    /// Pushes by topic.
    pub topics: BTreeMap<String, u64>,
    /// Pushes by whether they carried the right PushMagic.
    pub magic: BTreeMap<&'static str, u64>,
    /// Pushes to tokens that are not ours.
    pub foreign: u64,
    /// Providers that were not let in.
    pub providers_refused: u64,
    /// Providers that were cut off.
    pub providers_cut: u64,
    /// Listeners of the plain door, now.
    pub listeners: u64,
    /// Tokens whose push waits for a listener, now.
    pub waiting: u64,
    /// What has become of pushes at the plain door.
    pub pending: PendingCounts,
    /// Pushes passed on.
    pub webhook: WebhookCounts,
}

/// What has become of pushes that a webhook was to hear of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebhookCounts {
    /// It answered with 2xx.
    pub sent: u64,
    /// It did not answer, or with another status.
    pub failed: u64,
    /// Too many were waiting already.
    pub dropped: u64,
}

impl Tally {
    /// Counts a push.
    pub fn count(&mut self, seen: &Seen) {
        self.pushes += 1;
        self.foreign += u64::from(seen.owner.is_none());
        raise(&mut self.verdicts, seen.verdict.to_string(), VERDICTS_MAX);
        let topic = seen.topic.as_deref().unwrap_or("(none)");
        raise(&mut self.topics, topic.to_owned(), TOPICS_MAX);
        *self.magic.entry(seen.magic.name()).or_default() += 1;
    }

    /// How many pushes were answered with 200.
    pub fn accepted(&self) -> u64 {
        let accepted = self.verdicts.get(&Verdict::ACCEPTED.to_string());
        accepted.copied().unwrap_or(0)
    }

    /// All counters as JSON. The keys that Fleet's development mock has are there with its names, in
    /// both of the shapes it has had: at the top, and under `node` and `cluster`.
    pub fn stats(&self) -> Value {
        let PendingCounts {
            delivered_live,
            delivered_on_connect,
            stored,
            coalesced,
            discarded,
            expired,
            refused,
        } = self.pending;
        let node = json!({
            "active_connections": self.listeners,
            "total_pushes": self.pushes,
            "delivered_live": delivered_live,
            "delivered_on_connect": delivered_on_connect,
            "stored": stored,
            "coalesced": coalesced,
            "discarded": discarded,
            "claim_misses": 0,
            "redis_errors": 0,
        });
        let mut stats = json!({
            "node_id": "mdmstorm",
            "nodes": 1,
            "node": node,
            "cluster": node,
            "expired": expired,
            "refused": refused,
            "waiting": self.waiting,
            "open_connections": self.connections,
            "verdicts": self.verdicts,
            "topics": self.topics,
            "magic": self.magic,
            "foreign_tokens": self.foreign,
            "providers_refused": self.providers_refused,
            "providers_cut": self.providers_cut,
            "webhook": {
                "sent": self.webhook.sent,
                "failed": self.webhook.failed,
                "dropped": self.webhook.dropped,
            },
        });
        if let (Value::Object(stats), Value::Object(node)) = (&mut stats, node) {
            for (key, value) in node {
                stats.entry(key).or_insert(value);
            }
        }
        stats
    }
}

/// Counts one under `name`, or under [`OTHERS`] when there are too many names.
fn raise(counts: &mut BTreeMap<String, u64>, name: String, most: usize) {
    let is_room = counts.len() < most || counts.contains_key(&name);
    let name = if is_room { name } else { OTHERS.to_owned() };
    *counts.entry(name).or_default() += 1;
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::engine::gateway::lookout::{Magic, Way};

    pub(in crate::engine::gateway) fn seen(topic: &str, status: u16, reason: Option<&str>) -> Seen {
        Seen {
            time: String::new(),
            push: 0,
            door: Way::Tls,
            token: String::new(),
            owner: None,
            topic: Some(topic.into()),
            magic: Magic::Unknown,
            verdict: Verdict::Answered {
                status,
                reason: reason.map(Into::into),
            },
            fault: None,
            apns_id: String::new(),
            priority: None,
            expiration: None,
            push_type: None,
            payload_bytes: 0,
        }
    }

    #[test]
    fn however_many_topics_there_are_the_counters_stay_few() {
        let mut tally = Tally::default();
        for topic in 0..1000 {
            tally.count(&seen(&format!("topic {topic}"), 200, None));
        }
        assert_eq!(tally.topics.len(), TOPICS_MAX + 1);
        assert_eq!(tally.topics[OTHERS], 1000 - TOPICS_MAX as u64);
        assert_eq!((tally.pushes, tally.accepted()), (1000, 1000));
    }

    #[test]
    fn stats_have_the_keys_of_both_shapes_that_load_rigs_read() {
        let mut tally = Tally::default();
        tally.count(&seen("t", 200, None));
        tally.pending.stored = 1;
        let stats = tally.stats();
        assert_eq!(stats["total_pushes"], 1);
        assert_eq!(stats["stored"], 1);
        assert_eq!(stats["node"]["stored"], 1);
        assert_eq!(stats["cluster"]["total_pushes"], 1);
        assert_eq!(stats["nodes"], 1);
        assert_eq!(stats["verdicts"]["200"], 1);
    }
}
