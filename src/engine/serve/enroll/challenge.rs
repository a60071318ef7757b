//! Challenges: what a device shows to be given a certificate by SCEP.

use std::collections::HashMap;

use super::token;
use crate::scenario::Challenge;

/// More challenges are not kept; a profile that would need another one is not handed out.
const CHALLENGES_MAX: usize = 1_000_000;

/// The challenges of a server.
#[derive(Debug)]
pub(super) struct Challenges {
    rule: Challenge,
    /// Those that were given out once, and whether they have been used.
    given: HashMap<Box<str>, bool>,
    used: u64,
}

/// Why a request without the right challenge gets no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Wrong {
    /// There is none.
    #[error("the request has no challenge")]
    Missing,
    /// It is not one of ours.
    #[error("the challenge is not one that was given out")]
    Unknown,
    /// It has bought a certificate before.
    #[error("the challenge was used before; each is good for one certificate")]
    Used,
}

impl Challenges {
    pub(super) fn new(rule: Challenge) -> Self {
        Self {
            rule,
            given: HashMap::new(),
            used: 0,
        }
    }

    /// What a profile is to carry; an error when too many are out.
    pub(super) fn give(&mut self) -> Result<Option<String>, &'static str> {
        match &self.rule {
            Challenge::None => Ok(None),
            Challenge::Static(text) => Ok(Some(text.clone())),
            Challenge::OneTime if self.given.len() >= CHALLENGES_MAX => {
                Err("a million challenges are out; start the server afresh")
            }
            Challenge::OneTime => {
                let challenge = token();
                self.given.insert(challenge.as_str().into(), false);
                Ok(Some(challenge))
            }
        }
    }

    /// Takes the challenge of a request; one that is good once is used up.
    pub(super) fn take(&mut self, shown: Option<&str>) -> Result<(), Wrong> {
        let shown = shown.filter(|shown| !shown.is_empty());
        match (&self.rule, shown) {
            (Challenge::None, _) => Ok(()),
            (Challenge::Static(_) | Challenge::OneTime, None) => Err(Wrong::Missing),
            (Challenge::Static(wanted), Some(shown)) if wanted == shown => Ok(()),
            (Challenge::Static(_), Some(_)) => Err(Wrong::Unknown),
            (Challenge::OneTime, Some(shown)) => match self.given.get_mut(shown) {
                Some(is_used) if !*is_used => {
                    *is_used = true;
                    self.used += 1;
                    Ok(())
                }
                Some(_) => Err(Wrong::Used),
                None => Err(Wrong::Unknown),
            },
        }
    }

    /// Whether each is good for one certificate only.
    pub(super) fn are_used_up(&self) -> bool {
        self.rule == Challenge::OneTime
    }

    /// How many one-time challenges were given out, and how many of them used.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.given.len() as u64, self.used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_one_time_challenge_is_good_once() {
        let mut challenges = Challenges::new(Challenge::OneTime);
        let one = challenges.give().unwrap().unwrap();
        let other = challenges.give().unwrap().unwrap();
        assert_ne!(one, other);
        assert_eq!(challenges.take(Some(&one)), Ok(()));
        assert_eq!(challenges.take(Some(&one)), Err(Wrong::Used));
        assert_eq!(challenges.take(Some("made up")), Err(Wrong::Unknown));
        assert_eq!(challenges.take(None), Err(Wrong::Missing));
        assert_eq!(challenges.counts(), (2, 1));
    }

    #[test]
    fn a_static_challenge_is_always_good_and_must_be_right() {
        let mut challenges = Challenges::new(Challenge::Static("secret".to_owned()));
        assert_eq!(challenges.give().unwrap().as_deref(), Some("secret"));
        assert_eq!(challenges.take(Some("secret")), Ok(()));
        assert_eq!(challenges.take(Some("secret")), Ok(()));
        assert_eq!(challenges.take(Some("")), Err(Wrong::Missing));
        assert_eq!(challenges.take(Some("Secret")), Err(Wrong::Unknown));
        assert_eq!(Challenges::new(Challenge::None).take(None), Ok(()));
    }
}
