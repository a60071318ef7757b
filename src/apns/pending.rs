//! Pushes for anybody: the one push kept per token for a device that is not ours, as a listener of the
//! plain door.
//!
//! A token is any text. Whoever listens to it gets each push at once; for a token that nobody listens
//! to, the newest push is kept until somebody does or it expires. The newest listener of a token is
//! the one that counts, as with a device that connects again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::slot::Keep;
use crate::protocol::push::Reason;
use crate::time::{SimTime, WallTime};

/// How long a push without `apns-expiration` is kept: what load rigs for MDM servers expect.
pub const KEPT_WITHOUT_EXPIRATION: Duration = Duration::from_secs(24 * 3600);

/// The longest token that is kept, in characters. Real ones have 64, those of load rigs vary.
pub const TOKEN_MAX: usize = 512;

/// How many tokens may have a push or a listener, and how many bytes of payload may wait. Beyond
/// either the service is unavailable; a rig of 100,000 devices needs 10 MiB.
const TOKENS_MAX: usize = 500_000;
const BYTES_MAX: usize = 256 << 20;

/// A listener's number, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListenerId(u64);

/// What has become of pushes so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PendingCounts {
    /// Given to somebody who listened when they came.
    pub delivered_live: u64,
    /// Kept first, and given to somebody who began to listen.
    pub delivered_on_connect: u64,
    /// Kept because nobody listened.
    pub stored: u64,
    /// Replaced by a newer one before anybody had them.
    pub coalesced: u64,
    /// Not kept: nobody listened and they were not to be stored.
    pub discarded: u64,
    /// Kept, and gone undelivered when their time was over.
    pub expired: u64,
    /// Refused because there was no room.
    pub refused: u64,
}

/// What happens to a push that comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// This listener has to fetch it.
    Live(ListenerId),
    /// It is kept.
    Stored,
    /// It is gone: nobody listens, and it was not to be stored.
    Discarded,
    /// There is no room for another token.
    Full,
}

/// What a listener finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// A push.
    Push(Arc<[u8]>),
    /// None yet.
    Nothing,
    /// Another listener has its token; this one has to go.
    Replaced,
}

/// The pushes and listeners of all tokens.
#[derive(Debug, Default)]
pub struct Pending {
    entries: BTreeMap<Box<str>, Entry>,
    next: u64,
    bytes: usize,
    counts: PendingCounts,
}

#[derive(Debug, Default)]
struct Entry {
    listener: Option<ListenerId>,
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    payload: Arc<[u8]>,
    keep: Keep,
    /// Whether somebody listened when it came.
    is_live: bool,
}

impl Held {
    /// Whether its time is over for somebody who begins to listen at `now`.
    fn is_over(&self, now: SimTime) -> bool {
        match self.keep {
            Keep::Never => !self.is_live,
            Keep::Until(until) => until <= now,
        }
    }
}

impl Pending {
    /// Takes a push.
    pub fn push(&mut self, now: SimTime, token: &str, payload: Arc<[u8]>, keep: Keep) -> Taken {
        let is_known = self.entries.contains_key(token);
        let has_room = self.bytes + payload.len() <= BYTES_MAX
            && (is_known || self.entries.len() < TOKENS_MAX)
            && token.len() <= TOKEN_MAX;
        if !has_room {
            self.counts.refused += 1;
            return Taken::Full;
        }
        let entry = self.entries.entry(token.into()).or_default();
        let over = matches!(keep, Keep::Until(until) if until <= now) || keep == Keep::Never;
        let Some(listener) = entry.listener else {
            if over {
                self.counts.discarded += 1;
                self.forget(token);
                return Taken::Discarded;
            }
            self.put(token, payload, keep);
            return Taken::Stored;
        };
        self.put(token, payload, keep);
        Taken::Live(listener)
    }

    fn put(&mut self, token: &str, payload: Arc<[u8]>, keep: Keep) {
        let Some(entry) = self.entries.get_mut(token) else {
            return;
        };
        let is_live = entry.listener.is_some();
        self.bytes += payload.len();
        let held = Held {
            payload,
            keep,
            is_live,
        };
        match entry.held.replace(held) {
            Some(old) => {
                self.bytes -= old.payload.len();
                self.counts.coalesced += 1;
            }
            None if !is_live => self.counts.stored += 1,
            None => {}
        }
    }

    /// Somebody begins to listen, in the place of whoever did; that one is given back. `None` when
    /// there is no room for another token.
    pub fn listen(&mut self, token: &str) -> Option<(ListenerId, Option<ListenerId>)> {
        let is_known = self.entries.contains_key(token);
        if token.len() > TOKEN_MAX || (!is_known && self.entries.len() >= TOKENS_MAX) {
            return None;
        }
        let id = ListenerId(self.next);
        self.next += 1;
        let entry = self.entries.entry(token.into()).or_default();
        Some((id, entry.listener.replace(id)))
    }

    /// What there is for a listener.
    pub fn fetch(&mut self, now: SimTime, token: &str, listener: ListenerId) -> Fetched {
        let Some(entry) = self.entries.get_mut(token) else {
            return Fetched::Replaced;
        };
        if entry.listener != Some(listener) {
            return Fetched::Replaced;
        }
        let Some(held) = entry.held.take() else {
            return Fetched::Nothing;
        };
        self.bytes -= held.payload.len();
        if held.is_live {
            self.counts.delivered_live += 1;
        } else if held.is_over(now) {
            self.counts.expired += 1;
            return Fetched::Nothing;
        } else {
            self.counts.delivered_on_connect += 1;
        }
        Fetched::Push(held.payload)
    }

    /// A listener has gone. What it had not fetched is kept for the next one, unless it was not to be
    /// stored.
    pub fn leave(&mut self, token: &str, listener: ListenerId) {
        let Some(entry) = self.entries.get_mut(token) else {
            return;
        };
        if entry.listener != Some(listener) {
            return;
        }
        entry.listener = None;
        match &mut entry.held {
            Some(held) if held.keep == Keep::Never => {
                self.bytes -= held.payload.len();
                self.counts.discarded += 1;
                entry.held = None;
            }
            Some(held) => {
                // One that was stored before is stored still.
                self.counts.stored += u64::from(held.is_live);
                held.is_live = false;
            }
            None => {}
        }
        self.forget(token);
    }

    /// Drops what has expired; costs a look at every token.
    pub fn sweep(&mut self, now: SimTime) {
        let (bytes, counts) = (&mut self.bytes, &mut self.counts);
        self.entries.retain(|_, entry| {
            let is_over = entry
                .held
                .as_ref()
                .is_some_and(|held| !held.is_live && held.is_over(now));
            if let Some(held) = entry.held.take_if(|_| is_over) {
                *bytes -= held.payload.len();
                counts.expired += 1;
            }
            entry.listener.is_some() || entry.held.is_some()
        });
    }

    /// How many tokens have a push that waits.
    pub fn waiting(&self) -> usize {
        self.entries.values().filter(|it| it.held.is_some()).count()
    }

    /// What has become of pushes so far.
    pub const fn counts(&self) -> PendingCounts {
        self.counts
    }

    /// A token without listener and push takes no room.
    fn forget(&mut self, token: &str) {
        let is_empty = self
            .entries
            .get(token)
            .is_some_and(|it| it.listener.is_none() && it.held.is_none());
        if is_empty {
            self.entries.remove(token);
        }
    }
}

/// How long a push is kept by its `apns-expiration` in seconds since 1970, at `now`, which people
/// call `wall`.
///
/// # Errors
/// [`Reason::BadExpirationDate`] when it is no whole number.
pub fn keep(now: SimTime, wall: WallTime, expiration: Option<&str>) -> Result<Keep, Reason> {
    let Some(text) = expiration else {
        return Ok(Keep::Until(now + KEPT_WITHOUT_EXPIRATION));
    };
    let at: i64 = text.parse().map_err(|_| Reason::BadExpirationDate)?;
    let left = at
        .saturating_mul(1_000_000)
        .saturating_sub(wall.unix_micros());
    Ok(match u64::try_from(left) {
        Ok(0) | Err(_) => Keep::Never,
        Ok(left) => Keep::Until(now + Duration::from_micros(left)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Keep = Keep::Until(SimTime::from_secs(24 * 3600));

    fn at(secs: u64) -> SimTime {
        SimTime::from_secs(secs)
    }

    fn payload(text: &str) -> Arc<[u8]> {
        text.as_bytes().into()
    }

    fn push(pending: &mut Pending, text: &str, keep: Keep) -> Taken {
        pending.push(at(1), "ab", payload(text), keep)
    }

    #[test]
    fn the_newest_push_waits_for_whoever_listens() {
        let mut pending = Pending::default();
        for text in ["one", "two", "three"] {
            assert_eq!(push(&mut pending, text, DAY), Taken::Stored);
        }
        assert_eq!(pending.waiting(), 1);
        let (id, before) = pending.listen("ab").unwrap();
        assert_eq!(before, None);
        let three = Fetched::Push(payload("three"));
        assert_eq!(pending.fetch(at(2), "ab", id), three);
        assert_eq!(pending.fetch(at(2), "ab", id), Fetched::Nothing);
        let counts = pending.counts();
        let seen = (counts.stored, counts.coalesced, counts.delivered_on_connect);
        assert_eq!(seen, (1, 2, 1));
    }

    #[test]
    fn a_listener_has_each_push_at_once_even_one_that_is_not_to_be_stored() {
        let mut pending = Pending::default();
        let (id, _) = pending.listen("ab").unwrap();
        for keep in [DAY, Keep::Never] {
            assert_eq!(push(&mut pending, "now", keep), Taken::Live(id));
            let now = Fetched::Push(payload("now"));
            assert_eq!(pending.fetch(at(2), "ab", id), now);
        }
        assert_eq!(pending.counts().delivered_live, 2);
        assert_eq!(pending.counts().stored, 0);
    }

    #[test]
    fn a_push_that_is_not_to_be_stored_is_gone_when_nobody_listens() {
        let mut pending = Pending::default();
        assert_eq!(push(&mut pending, "now", Keep::Never), Taken::Discarded);
        let past = Keep::Until(at(1));
        assert_eq!(push(&mut pending, "past", past), Taken::Discarded);
        assert_eq!(pending.counts().discarded, 2);
        assert!(pending.entries.is_empty() && pending.bytes == 0);
    }

    #[test]
    fn an_expired_push_reaches_nobody() {
        let mut pending = Pending::default();
        push(&mut pending, "old", Keep::Until(at(10)));
        let (id, _) = pending.listen("ab").unwrap();
        assert_eq!(pending.fetch(at(10), "ab", id), Fetched::Nothing);
        pending.leave("ab", id);
        push(&mut pending, "old", Keep::Until(at(10)));
        pending.sweep(at(9));
        assert_eq!(pending.waiting(), 1);
        pending.sweep(at(10));
        assert!(pending.entries.is_empty() && pending.bytes == 0);
        assert_eq!(pending.counts().expired, 2);
    }

    #[test]
    fn the_newest_listener_counts_and_the_older_has_to_go() {
        let mut pending = Pending::default();
        let (old, _) = pending.listen("ab").unwrap();
        push(&mut pending, "one", DAY);
        let (new, before) = pending.listen("ab").unwrap();
        assert_eq!(before, Some(old));
        assert_eq!(pending.fetch(at(2), "ab", old), Fetched::Replaced);
        // The older one's going does not take the newer one's place away.
        pending.leave("ab", old);
        let one = Fetched::Push(payload("one"));
        assert_eq!(pending.fetch(at(2), "ab", new), one);
    }

    #[test]
    fn what_a_listener_left_unfetched_waits_for_the_next() {
        let mut pending = Pending::default();
        let (first, _) = pending.listen("ab").unwrap();
        push(&mut pending, "one", DAY);
        pending.leave("ab", first);
        let (next, _) = pending.listen("ab").unwrap();
        let one = Fetched::Push(payload("one"));
        assert_eq!(pending.fetch(at(3), "ab", next), one);
        push(&mut pending, "two", Keep::Never);
        pending.leave("ab", next);
        assert_eq!(pending.counts().stored, 1);
        // Whoever comes and goes without fetching it does not store it again.
        push(&mut pending, "three", DAY);
        let (hasty, _) = pending.listen("ab").unwrap();
        pending.leave("ab", hasty);
        assert_eq!(pending.counts().stored, 2);
        let (last, _) = pending.listen("ab").unwrap();
        let three = Fetched::Push(payload("three"));
        assert_eq!(pending.fetch(at(3), "ab", last), three);
        pending.leave("ab", last);
        assert!(pending.entries.is_empty() && pending.bytes == 0);
    }

    #[test]
    fn a_token_too_long_to_be_one_is_not_kept() {
        let mut pending = Pending::default();
        let long = "a".repeat(TOKEN_MAX + 1);
        let taken = pending.push(at(1), &long, payload("x"), DAY);
        assert_eq!(taken, Taken::Full);
        assert!(pending.listen(&long).is_none() && pending.entries.is_empty());
    }

    #[test]
    fn an_expiration_is_seconds_since_1970() {
        let wall = WallTime::from_unix_micros(100_000_000);
        let kept = |text| keep(at(7), wall, text);
        assert_eq!(kept(None), Ok(Keep::Until(at(7 + 24 * 3600))));
        assert_eq!(kept(Some("130")), Ok(Keep::Until(at(37))));
        for over in ["0", "1", "100", "-5"] {
            assert_eq!(kept(Some(over)), Ok(Keep::Never), "{over}");
        }
        for bad in ["soon", "", "1.5", "99999999999999999999"] {
            assert_eq!(kept(Some(bad)), Err(Reason::BadExpirationDate), "{bad}");
        }
        assert!(matches!(
            kept(Some(&i64::MAX.to_string())),
            Ok(Keep::Until(_))
        ));
    }
}
