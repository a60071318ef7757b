//! Conditions that come and go: one reader for all of them, by turns or at times of day.

use std::time::Duration;

use super::assumed;
use super::found::Found;
use super::preset::Preset;
use super::resolve::Resolving;
use super::value;
use crate::condition::Condition;
use crate::device::traits::{Begins, Rhythm, Shape};
use crate::seed::Dist;

/// How a scenario writes one condition that comes and goes.
pub(super) struct Keys {
    pub(super) condition: Condition,
    /// The section of a cohort it stands in; `None` when it is one itself.
    section: Option<&'static str>,
    /// Its key.
    key: &'static str,
    /// How long it holds, and how long it does not.
    inside: &'static str,
    outside: &'static str,
    /// Which share begins in it.
    share: &'static str,
    /// The word that switches a preset's rhythm off.
    off: &'static str,
    /// The assumptions behind the preset's rhythm and the share.
    guess: &'static str,
    share_guess: &'static str,
}

impl Keys {
    const fn own(
        condition: Condition,
        key: &'static str,
        [inside, outside, share]: [&'static str; 3],
        [guess, share_guess]: [&'static str; 2],
    ) -> Self {
        Self {
            condition,
            section: None,
            key,
            inside,
            outside,
            share,
            off: "never",
            guess,
            share_guess,
        }
    }

    const fn within(
        condition: Condition,
        section: &'static str,
        key: &'static str,
        guesses: [&'static str; 2],
    ) -> Self {
        let keys = Self::own(condition, key, ["for", "every", "share"], guesses);
        Self {
            section: Some(section),
            ..keys
        }
    }
}

/// All of them, in the order in which a device keeps them.
static ALL: [Keys; 12] = [
    Keys::own(
        Condition::Asleep,
        "sleep",
        ["asleep", "awake", "share-asleep"],
        ["cohorts.sleep", "cohorts.sleep.share-asleep"],
    ),
    Keys {
        off: "always",
        ..Keys::own(
            Condition::Offline,
            "link",
            ["offline", "online", "share-offline"],
            ["cohorts.link", "cohorts.link.share-offline"],
        )
    },
    Keys::own(
        Condition::Off,
        "power",
        ["off", "on", "share-off"],
        ["cohorts.power", "cohorts.power.share-off"],
    ),
    Keys::own(
        Condition::Locked,
        "lock",
        ["locked", "unlocked", "share-locked"],
        ["cohorts.lock", "cohorts.lock.share-locked"],
    ),
    Keys {
        inside: "on-battery",
        outside: "on-mains",
        share: "share-on-battery",
        ..Keys::within(
            Condition::OnBattery,
            "power",
            "battery",
            [
                "cohorts.power.battery",
                "cohorts.power.battery.share-on-battery",
            ],
        )
    },
    Keys::within(
        Condition::LowPower,
        "power",
        "low-power",
        ["cohorts.power.low-power", "cohorts.power.low-power.share"],
    ),
    Keys::within(
        Condition::DarkWake,
        "mac",
        "power-nap",
        ["cohorts.mac.power-nap", "cohorts.mac.power-nap.share"],
    ),
    Keys::within(
        Condition::LoggedOut,
        "mac",
        "logged-out",
        ["cohorts.mac.logged-out", "cohorts.mac.logged-out.share"],
    ),
    Keys::within(
        Condition::LoginBlocked,
        "mac",
        "login-blocked",
        [
            "cohorts.mac.login-blocked",
            "cohorts.mac.login-blocked.share",
        ],
    ),
    Keys::within(
        Condition::KeychainLocked,
        "mac",
        "keychain-locked",
        [
            "cohorts.mac.keychain-locked",
            "cohorts.mac.keychain-locked.share",
        ],
    ),
    Keys::within(
        Condition::AgentStopped,
        "agent",
        "stopped",
        ["cohorts.agent.stopped", "cohorts.agent.stopped.share"],
    ),
    Keys::within(
        Condition::Throttled,
        "agent",
        "throttled",
        ["cohorts.agent.throttled", "cohorts.agent.throttled.share"],
    ),
];

/// What comes and goes, and what some devices begin in.
#[derive(Debug, Default)]
pub(super) struct Lives {
    pub(super) rhythms: Vec<Rhythm>,
    pub(super) begins: Vec<Begins>,
}

impl Lives {
    /// A share of devices is in `condition` from time zero.
    pub(super) fn begin(&mut self, condition: Condition, share: f64) {
        if share > 0.0 {
            self.begins.push(Begins { condition, share });
        }
    }
}

/// Every rhythm of a cohort: what it says, else what its preset says.
pub(super) fn all(found: &Found, preset: &Preset, resolving: &mut Resolving) -> Lives {
    let mut lives = Lives::default();
    for keys in &ALL {
        let parent = match keys.section {
            None => Some(found),
            Some(section) => found.table(section),
        };
        let usual = preset.shape(keys.condition);
        let reading = Reading { keys, usual };
        match parent {
            Some(parent) if parent.is_present(keys.key) => {
                reading.given(parent, resolving, &mut lives);
            }
            Some(_) | None => reading.usual(resolving, &mut lives),
        }
    }
    lives
}

/// One rhythm while it is read.
struct Reading<'a> {
    keys: &'a Keys,
    usual: Option<&'a Shape>,
}

impl Reading<'_> {
    fn usual(&self, resolving: &mut Resolving, lives: &mut Lives) {
        if let Some(shape) = self.usual {
            resolving.assumed.insert(self.keys.guess);
            self.push(shape.clone(), lives);
        }
    }

    fn push(&self, shape: Shape, lives: &mut Lives) {
        lives.rhythms.push(Rhythm {
            condition: self.keys.condition,
            shape,
        });
    }

    fn given(&self, parent: &Found, resolving: &mut Resolving, lives: &mut Lives) {
        let keys = self.keys;
        if let Some(word) = parent.text(keys.key) {
            let share = if word == keys.off { 0.0 } else { 1.0 };
            lives.begin(keys.condition, share);
        } else if let Some(share) = parent.number(keys.key) {
            lives.begin(keys.condition, *share);
        } else if let Some(table) = parent.table(keys.key) {
            self.table(table, parent, resolving, lives);
        }
    }

    fn table(&self, table: &Found, parent: &Found, resolving: &mut Resolving, lives: &mut Lives) {
        let keys = self.keys;
        let by_turns = [keys.inside, keys.outside]
            .into_iter()
            .find(|key| table.is_present(key));
        if table.is_present("daily") {
            let other = by_turns.or_else(|| Some(keys.share).filter(|key| table.is_present(key)));
            if let Some(other) = other {
                resolving.problems.add(
                    table.place_of(other),
                    format!("{} has both daily and {other}", keys.key),
                    "times of day, or turns: leave one out",
                );
            } else if let Some(windows) = table.windows("daily") {
                let shape = Shape::Daily {
                    windows: windows.clone(),
                    days: table.days("days").copied().unwrap_or([true; 7]),
                    spread: table.dist("spread").cloned().unwrap_or(Dist::ZERO),
                };
                self.push(shape, lives);
            }
            return;
        }
        for key in ["days", "spread"] {
            if table.is_present(key) {
                resolving.problems.add(
                    table.place_of(key),
                    format!("{} has {key} without daily", keys.key),
                    "add daily = [\"22:00..07:00\"]",
                );
            }
        }
        let alternates = matches!(self.usual, Some(Shape::Alternates { .. }));
        match (by_turns, table.number(keys.share)) {
            (Some(_), _) => self.turns(table, parent, resolving, lives),
            (None, Some(_)) if alternates => self.turns(table, parent, resolving, lives),
            (None, Some(share)) => lives.begin(keys.condition, *share),
            (None, None) => self.usual(resolving, lives),
        }
    }

    fn turns(&self, table: &Found, parent: &Found, resolving: &mut Resolving, lives: &mut Lives) {
        let keys = self.keys;
        let usual = match self.usual {
            Some(Shape::Alternates {
                inside,
                outside,
                begins_inside,
            }) => Some((inside, outside, *begins_inside)),
            Some(Shape::Daily { .. }) | None => None,
        };
        let begins_inside = table.number(keys.share).copied().unwrap_or_else(|| {
            resolving.assumed.insert(keys.share_guess);
            usual.map_or(assumed::SHARE_AWAY, |(.., share)| share)
        });
        let mut part = |key: &str, usual: Option<&Dist>| match (table.dist(key), usual) {
            (Some(dist), _) => {
                if typical(dist) < SHORTEST_STATE {
                    resolving.problems.add(
                        table.place_of(key),
                        format!("{key} is too short to be a state of a device"),
                        format!("{} or longer", value::written(SHORTEST_STATE)),
                    );
                }
                dist.clone()
            }
            (None, Some(usual)) => {
                resolving.assumed.insert(keys.guess);
                usual.clone()
            }
            (None, None) => {
                if !table.is_present(key) {
                    resolving.problems.add(
                        parent.place_of(keys.key),
                        format!(
                            "{} has no \"{key}\", and the preset has none either",
                            keys.key
                        ),
                        format!("add {key} = \"3m..15m\""),
                    );
                }
                Dist::ZERO
            }
        };
        let shape = Shape::Alternates {
            inside: part(keys.inside, usual.map(|(inside, ..)| inside)),
            outside: part(keys.outside, usual.map(|(_, outside, _)| outside)),
            begins_inside,
        };
        self.push(shape, lives);
    }
}

/// A state that comes and goes faster than this would keep a device busy with nothing else.
const SHORTEST_STATE: Duration = Duration::from_millis(10);

const fn typical(dist: &Dist) -> Duration {
    match dist {
        Dist::Constant(span) | Dist::Uniform { high: span, .. } => *span,
        Dist::LogNormal { median: span, .. } | Dist::Exponential { mean: span } => *span,
    }
}
