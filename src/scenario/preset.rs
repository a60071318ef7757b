//! Classes of devices people have: what a cohort is like where its scenario does not say.
//!
//! The duty cycles are inferred (protocol notes 9): nothing is published, so all of them are listed
//! as assumed.

use std::ops::Range;
use std::time::Duration;

use crate::seed::Dist;

/// A class of devices.
#[derive(Clone, Debug)]
pub(super) struct Preset {
    pub(super) product: &'static str,
    pub(super) supervised: bool,
    pub(super) sleep: Option<Cycle>,
    pub(super) offline: Option<Cycle>,
}

/// A state that comes and goes.
#[derive(Clone, Debug)]
pub(super) struct Cycle {
    pub(super) inside: Dist,
    pub(super) outside: Dist,
    pub(super) begins_inside: f64,
}

/// The presets, as a scenario names them.
pub(super) const NAMES: &[&str] = &[
    "always-on",
    "cart-ipad",
    "one-to-one-ipad",
    "macbook",
    "kiosk-tv",
    "iphone",
];

/// The preset called `name`, one of [`NAMES`].
pub(super) fn find(name: &str) -> Option<Preset> {
    let preset = match name {
        "always-on" => always_on("iPad13,18", true),
        // Docked and charging: asleep on Wi-Fi most of the time, woken by a class.
        "cart-ipad" => Preset {
            sleep: Some(cycle(log_normal(20, 120), minutes(3)..minutes(15), 0.6)),
            ..always_on("iPad12,1", true)
        },
        // 40 to 80 sessions a day, each a few minutes.
        "one-to-one-ipad" => Preset {
            sleep: Some(cycle(log_normal(10, 60), minutes(1)..minutes(8), 0.7)),
            ..always_on("iPad13,18", true)
        },
        // Lid open in a few bouts a day; closed it is off the network.
        "macbook" => Preset {
            offline: Some(cycle(log_normal(60, 480), minutes(20)..minutes(90), 0.3)),
            ..always_on("Mac14,2", false)
        },
        "kiosk-tv" => always_on("AppleTV14,1", true),
        "iphone" => Preset {
            sleep: Some(cycle(log_normal(8, 45), minutes(1)..minutes(6), 0.6)),
            ..always_on("iPhone15,4", true)
        },
        _ => return None,
    };
    Some(preset)
}

const fn always_on(product: &'static str, supervised: bool) -> Preset {
    Preset {
        product,
        supervised,
        sleep: None,
        offline: None,
    }
}

const fn cycle(inside: Dist, outside: Range<Duration>, begins_inside: f64) -> Cycle {
    Cycle {
        inside,
        outside: Dist::Uniform {
            low: outside.start,
            high: outside.end,
        },
        begins_inside,
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
}
