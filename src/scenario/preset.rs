//! Classes of devices people have: what a cohort is like where its scenario does not say.
//!
//! The duty cycles are inferred (protocol notes 9): nothing is published, so all of them are listed
//! as assumed.

use std::time::Duration;

use crate::condition::Condition;
use crate::device::traits::{Platform, Rhythm, Shape, Window};
use crate::seed::Dist;

/// A class of devices.
#[derive(Clone, Debug)]
pub(super) struct Preset {
    pub(super) product: &'static str,
    pub(super) supervised: bool,
    pub(super) passcode: bool,
    pub(super) users: u8,
    rhythms: Vec<Rhythm>,
}

impl Preset {
    /// When a condition comes and goes.
    pub(super) fn shape(&self, condition: Condition) -> Option<&Shape> {
        let rhythm = self
            .rhythms
            .iter()
            .find(|rhythm| rhythm.condition == condition);
        rhythm.map(|rhythm| &rhythm.shape)
    }

    /// The same on another kind of device: what only Macs are in falls away.
    #[must_use]
    pub(super) fn on(mut self, platform: Platform) -> Self {
        let only_macs = [
            Condition::DarkWake,
            Condition::LoginBlocked,
            Condition::KeychainLocked,
        ];
        let is_mac = platform == Platform::Mac;
        self.rhythms
            .retain(|rhythm| is_mac || !only_macs.contains(&rhythm.condition));
        self
    }
}

/// The presets, as a scenario names them.
pub(super) const NAMES: &[&str] = &[
    "always-on",
    "cart-ipad",
    "shared-ipad",
    "one-to-one-ipad",
    "macbook",
    "kiosk-tv",
    "iphone",
];

/// The preset called `name`, one of [`NAMES`].
pub(super) fn find(name: &str) -> Option<Preset> {
    let preset = match name {
        "always-on" => always_on("iPad13,18", true),
        "cart-ipad" => cart_ipad(),
        // A cart whose devices people log in to; nobody is between the lessons.
        "shared-ipad" => {
            let mut preset = cart_ipad();
            preset.users = 2;
            preset.rhythms.push(between_lessons(Condition::LoggedOut));
            preset
        }
        // 40 to 80 sessions a day, each a few minutes; unlocked for a quarter of its time awake.
        "one-to-one-ipad" => personal("iPad13,18", [10, 60], [1, 8], 0.7),
        "iphone" => personal("iPhone15,4", [8, 45], [1, 6], 0.6),
        "macbook" => macbook(),
        "kiosk-tv" => always_on("AppleTV14,1", true),
        _ => return None,
    };
    Some(preset)
}

const fn always_on(product: &'static str, supervised: bool) -> Preset {
    Preset {
        product,
        supervised,
        passcode: false,
        users: 0,
        rhythms: Vec::new(),
    }
}

/// In use in lessons of 50 minutes, docked otherwise: charging, on Wi-Fi, asleep and
/// locked.
fn cart_ipad() -> Preset {
    Preset {
        passcode: true,
        rhythms: vec![
            between_lessons(Condition::Asleep),
            between_lessons(Condition::Locked),
        ],
        ..always_on("iPad12,1", true)
    }
}

/// A few minutes in use, many times a day.
fn personal(
    product: &'static str,
    [median, p95]: [u64; 2],
    [shortest, longest]: [u64; 2],
    share_asleep: f64,
) -> Preset {
    let asleep = log_normal(median, p95);
    let locked = Rhythm::by_turns(
        Condition::Locked,
        log_normal(median, p95),
        uniform(shortest, longest),
        0.75,
    );
    Preset {
        passcode: true,
        rhythms: vec![
            Rhythm::by_turns(
                Condition::Asleep,
                asleep,
                uniform(shortest, longest),
                share_asleep,
            ),
            locked,
        ],
        ..always_on(product, true)
    }
}

/// The lid is open in a few bouts a day. Shut, it sleeps, but for a moment of Power Nap an hour.
fn macbook() -> Preset {
    let lid_shut = Rhythm::by_turns(Condition::Asleep, log_normal(60, 480), uniform(20, 90), 0.3);
    let nap = Dist::Uniform {
        low: Duration::from_secs(30),
        high: Duration::from_secs(120),
    };
    let hour = Dist::Constant(minutes(60));
    Preset {
        passcode: true,
        users: 1,
        rhythms: vec![
            lid_shut,
            Rhythm::by_turns(
                Condition::OnBattery,
                uniform(60, 300),
                uniform(60, 240),
                0.4,
            ),
            Rhythm::by_turns(Condition::DarkWake, nap, hour, 0.02),
            Rhythm::by_turns(
                Condition::KeychainLocked,
                uniform(1, 10),
                uniform(240, 480),
                0.05,
            ),
        ],
        ..always_on("Mac14,2", false)
    }
}

/// Holds except in the six lessons of a school day; a class is not there on the minute. A preset
/// knows no weekend.
fn between_lessons(condition: Condition) -> Rhythm {
    let window = |from: (u64, u64), to: (u64, u64)| Window {
        from: minutes(from.0 * 60 + from.1),
        to: minutes(to.0 * 60 + to.1),
    };
    let windows = vec![
        window((8, 50), (9, 0)),
        window((9, 50), (10, 10)),
        window((11, 0), (11, 10)),
        window((12, 0), (13, 0)),
        window((13, 50), (14, 0)),
        window((14, 50), (8, 0)),
    ];
    Rhythm {
        condition,
        shape: Shape::Daily {
            windows,
            days: [true; 7],
            spread: uniform(0, 5),
        },
    }
}

const fn uniform(low: u64, high: u64) -> Dist {
    Dist::Uniform {
        low: minutes(low),
        high: minutes(high),
    }
}

const fn log_normal(median: u64, p95: u64) -> Dist {
    Dist::LogNormal {
        median: minutes(median),
        p95: minutes(p95),
    }
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_preset_exists_and_names_a_known_model() {
        for name in NAMES {
            let preset = find(name).unwrap();
            assert!(crate::scenario::hardware::find(preset.product).is_some());
        }
    }

    #[test]
    fn no_preset_has_two_rhythms_of_one_condition() {
        for name in NAMES {
            let preset = find(name).unwrap();
            for rhythm in &preset.rhythms {
                assert_eq!(
                    preset.shape(rhythm.condition),
                    Some(&rhythm.shape),
                    "{name}"
                );
            }
        }
    }
}
