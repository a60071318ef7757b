//! What a device is in: asleep, locked, offline, in lost mode. Vocabulary of devices, scenarios,
//! facts and reports alike.
//!
//! What a condition does is said where it is decided: which pushes arrive in
//! `device::life`, which commands are refused in `device::not_now`, what a wait is
//! called in `record::cause`.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One thing a device can be in. Several hold at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Condition {
    /// Long gone: lost, broken or wiped without the server knowing. It never comes back.
    Gone,
    /// Switched off, or its battery is flat.
    Off,
    /// Off the network.
    Offline,
    /// The network drops TCP 5223: HTTPS works, pushes do not arrive.
    PushBlocked,
    /// A NAT forgot the push connection: neither side knows before the next keep-alive.
    PushDeaf,
    /// Screen off and idle. Whether a push reaches it is a trait of its cohort.
    Asleep,
    /// A Mac whose lid is shut wakes for a moment by itself: Power Nap.
    DarkWake,
    /// Runs on its battery.
    OnBattery,
    /// Low Power Mode: pushes of priority 5 and 1 are held back.
    LowPower,
    /// Booted, and not unlocked since.
    BeforeFirstUnlock,
    /// The screen is locked. Matters only with a passcode.
    Locked,
    /// Setup Assistant runs.
    SetupAssistant,
    /// The system holds the management agent back until it is opened in the foreground.
    Throttled,
    /// The management agent crashed.
    AgentStopped,
    /// Lost mode.
    LostMode,
    /// Nobody is logged in to a Mac or Shared iPad: it has no user channel to speak of.
    LoggedOut,
    /// A login waits for the server.
    LoginBlocked,
    /// The keychain of a Mac's user is locked.
    KeychainLocked,
}

impl Condition {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 18] = [
        Self::Gone,
        Self::Off,
        Self::Offline,
        Self::PushBlocked,
        Self::PushDeaf,
        Self::Asleep,
        Self::DarkWake,
        Self::OnBattery,
        Self::LowPower,
        Self::BeforeFirstUnlock,
        Self::Locked,
        Self::SetupAssistant,
        Self::Throttled,
        Self::AgentStopped,
        Self::LostMode,
        Self::LoggedOut,
        Self::LoginBlocked,
        Self::KeychainLocked,
    ];

    /// As it is written in scenarios, facts and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Off => "off",
            Self::Offline => "offline",
            Self::PushBlocked => "push-blocked",
            Self::PushDeaf => "push-deaf",
            Self::Asleep => "asleep",
            Self::DarkWake => "dark-wake",
            Self::OnBattery => "on-battery",
            Self::LowPower => "low-power",
            Self::BeforeFirstUnlock => "before-first-unlock",
            Self::Locked => "locked",
            Self::SetupAssistant => "setup-assistant",
            Self::Throttled => "throttled",
            Self::AgentStopped => "agent-stopped",
            Self::LostMode => "lost-mode",
            Self::LoggedOut => "logged-out",
            Self::LoginBlocked => "login-blocked",
            Self::KeychainLocked => "keychain-locked",
        }
    }

    /// The condition called `name`.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of conditions. Written as a list of names, in the order of [`Condition::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Conditions(u32);

impl Conditions {
    /// None: awake, unlocked and on the network.
    pub const NONE: Self = Self(0);

    /// The set of `conditions`.
    pub const fn of(conditions: &[Condition]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < conditions.len() {
            bits |= conditions[at].bit();
            at += 1;
        }
        Self(bits)
    }

    /// Whether `condition` holds.
    pub const fn has(self, condition: Condition) -> bool {
        self.0 & condition.bit() != 0
    }

    /// Whether any of `others` holds.
    pub const fn has_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Whether nothing holds.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// With `condition` holding or not.
    #[must_use]
    pub const fn with(self, condition: Condition, holds: Holds) -> Self {
        match holds {
            Holds::Yes => Self(self.0 | condition.bit()),
            Holds::No => Self(self.0 & !condition.bit()),
        }
    }

    /// With all of `others` as well.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Without any of `others`.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Those that hold, in the order of [`Condition::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Condition> {
        Condition::ALL
            .into_iter()
            .filter(move |condition| self.has(*condition))
    }
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holds {
    /// It does.
    Yes,
    /// It does not.
    No,
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("awake and online");
        }
        for (at, condition) in self.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{}", condition.name())?;
        }
        Ok(())
    }
}

impl Serialize for Conditions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Condition::name))
    }
}

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        let mut set = Self::NONE;
        for name in names {
            let condition = Condition::find(&name)
                .ok_or_else(|| D::Error::custom(format!("no condition is called {name:?}")))?;
            set = set.with(condition, Holds::Yes);
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_written_as_names_and_read_back() {
        let set = Conditions::of(&[Condition::Locked, Condition::Offline]);
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!(text, r#"["offline","locked"]"#);
        assert_eq!(serde_json::from_str::<Conditions>(&text).unwrap(), set);
        assert!(serde_json::from_str::<Conditions>(r#"["tired"]"#).is_err());
    }

    #[test]
    fn every_condition_has_a_bit_and_a_name_of_its_own() {
        for (number, condition) in Condition::ALL.into_iter().enumerate() {
            assert_eq!(condition as usize, number);
            assert_eq!(Condition::find(condition.name()), Some(condition));
        }
    }
}
