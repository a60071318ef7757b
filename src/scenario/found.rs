//! What the reader made of a document: known keys, each with a value of its kind and its place.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use super::expect::HowMany;
use crate::apns::service::Rate;
use crate::device::traits::{Misbehaviour, Window};
use crate::seed::Dist;

/// A table that was read.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) place: Range<usize>,
    pub(super) values: BTreeMap<&'static str, Checked>,
    /// Known keys that the table has, those with a wrong value included.
    pub(super) present: Vec<&'static str>,
}

/// A value that was read.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) place: Range<usize>,
    pub(super) is_given: bool,
    pub(super) typed: Typed,
}

#[derive(Debug)]
pub(super) enum Typed {
    Text(String),
    Flag(bool),
    Count(u32),
    Seed(u64),
    Number(f64),
    Span(Duration),
    Dist(Dist),
    Address(SocketAddr),
    Limit(Limit),
    /// Microseconds.
    Offset(i64),
    Integer(i64),
    PushRate(Rate),
    HowMany(HowMany),
    Windows(Vec<Window>),
    Days([bool; 7]),
    Words(Vec<String>),
    Misbehaviour(Misbehaviour),
    Requests(Vec<String>),
    Headers(Vec<(String, String)>),
    Dictionary(plist::Dictionary),
    ReplyTimes(BTreeMap<String, Dist>),
    Table(Found),
    Tables(Vec<Found>),
}

/// A limit as it was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Limit {
    Span(Duration),
    Number(f64),
    /// A percentage, as a share.
    Share(f64),
}

/// One accessor for each kind of value: `None` when the key is absent or was wrong.
impl Found {
    /// A table without keys.
    pub(super) const fn empty() -> Self {
        Self {
            place: 0..0,
            values: BTreeMap::new(),
            present: Vec::new(),
        }
    }

    pub(super) fn text(&self, key: &str) -> Option<&String> {
        if let Some(Typed::Text(value)) = self.typed(key) {
            Some(value)
        } else {
            None
        }
    }

    pub(super) fn flag(&self, key: &str) -> Option<&bool> {
        if let Some(Typed::Flag(value)) = self.typed(key) {
            Some(value)
        } else {
            None
        }
    }

    pub(super) fn count(&self, key: &str) -> Option<&u32> {
        if let Some(Typed::Count(value)) = self.typed(key) {
            Some(value)
        } else {
            None
        }
    }

    pub(super) fn seed(&self, key: &str) -> Option<&u64> {
        if let Some(Typed::Seed(value)) = self.typed(key) {
            Some(value)
        } else {
            None
        }
    }

    pub(super) fn number(&self, key: &str) -> Option<&f64> {
        if let Some(Typed::Number(value)) = self.typed(key) {
            Some(value)
        } else {
            None
        }
    }

    pub(super) fn span(&self, key: &str) -> Option<&Duration> {
        if let Some(Typed::Span(value)) = self.typed(key) {
            Some(value)
        } else {
            None
        }
    }

    pub(super) fn dist(&self, key: &str) -> Option<&Dist> {
        if let Some(Typed::Dist(value)) = self.typed(key) {
            Some(value)
        } else {
            None
        }
    }

    pub(super) fn address(&self, key: &str) -> Option<&SocketAddr> {
        if let Some(Typed::Address(value)) = self.typed(key) {
            Some(value)
        } else {
            None
        }
    }

    pub(super) fn limit(&self, key: &str) -> Option<&Limit> {
        if let Some(Typed::Limit(value)) = self.typed(key) {
            Some(value)
        } else {
            None
        }
    }

    pub(super) fn offset(&self, key: &str) -> Option<&i64> {
        if let Some(Typed::Offset(value)) = self.typed(key) {
            Some(value)
        } else {
            None
        }
    }

    pub(super) fn integer(&self, key: &str) -> Option<&i64> {
        if let Some(Typed::Integer(value)) = self.typed(key) {
            Some(value)
        } else {
            None
        }
    }

    pub(super) fn push_rate(&self, key: &str) -> Option<&Rate> {
        if let Some(Typed::PushRate(value)) = self.typed(key) {
            Some(value)
        } else {
            None
        }
    }

    pub(super) fn how_many(&self, key: &str) -> Option<&HowMany> {
        if let Some(Typed::HowMany(value)) = self.typed(key) {
            Some(value)
        } else {
            None
        }
    }

    pub(super) fn windows(&self, key: &str) -> Option<&Vec<Window>> {
        if let Some(Typed::Windows(value)) = self.typed(key) {
            Some(value)
        } else {
            None
        }
    }

    pub(super) fn days(&self, key: &str) -> Option<&[bool; 7]> {
        if let Some(Typed::Days(value)) = self.typed(key) {
            Some(value)
        } else {
            None
        }
    }

    pub(super) fn words(&self, key: &str) -> Option<&Vec<String>> {
        if let Some(Typed::Words(value)) = self.typed(key) {
            Some(value)
        } else {
            None
        }
    }

    pub(super) fn misbehaviour(&self, key: &str) -> Option<&Misbehaviour> {
        if let Some(Typed::Misbehaviour(value)) = self.typed(key) {
            Some(value)
        } else {
            None
        }
    }

    pub(super) fn requests(&self, key: &str) -> Option<&Vec<String>> {
        if let Some(Typed::Requests(value)) = self.typed(key) {
            Some(value)
        } else {
            None
        }
    }

    pub(super) fn headers(&self, key: &str) -> Option<&Vec<(String, String)>> {
        if let Some(Typed::Headers(value)) = self.typed(key) {
            Some(value)
        } else {
            None
        }
    }

    pub(super) fn dictionary(&self, key: &str) -> Option<&plist::Dictionary> {
        if let Some(Typed::Dictionary(value)) = self.typed(key) {
            Some(value)
        } else {
            None
        }
    }

    pub(super) fn reply_times(&self, key: &str) -> Option<&BTreeMap<String, Dist>> {
        if let Some(Typed::ReplyTimes(value)) = self.typed(key) {
            Some(value)
        } else {
            None
        }
    }

    pub(super) fn table(&self, key: &str) -> Option<&Self> {
        if let Some(Typed::Table(value)) = self.typed(key) {
            Some(value)
        } else {
            None
        }
    }

    /// The tables of a list; none when it is absent.
    pub(super) fn tables(&self, key: &str) -> &[Self] {
        if let Some(Typed::Tables(tables)) = self.typed(key) {
            tables
        } else {
            &[]
        }
    }

    fn typed(&self, key: &str) -> Option<&Typed> {
        self.values.get(key).map(|checked| &checked.typed)
    }

    /// Whether the scenario itself says so, rather than a default.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.values.get(key).is_some_and(|checked| checked.is_given)
    }

    /// Where the key's value stands; the table itself when it does not.
    pub(super) fn place_of(&self, key: &str) -> &Range<usize> {
        match self.values.get(key) {
            Some(checked) if checked.is_given => &checked.place,
            Some(_) | None => &self.place,
        }
    }

    /// Whether the key is in the file, even with a value that is wrong and noted already.
    pub(super) fn is_present(&self, key: &str) -> bool {
        self.present.contains(&key)
    }
}
