//! Cohorts: the preset's traits, and what the cohort says instead.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::{Problems, suggest};
use super::found::Found;
use super::preset::{Cycle, Preset};
use super::resolve::Resolving;
use super::{Amount, Cohort, StageCommand, assumed, hardware, preset, value};
use crate::device::traits::{Alternation, BackOff, NotNowRule, Platform, ReplyTimes, Traits};
use crate::ids::CohortId;
use crate::seed::Dist;

/// More devices than a push token or one machine is made for.
const DEVICES_MAX: u64 = 10_000_000;

/// The names that commands and events may refer to, each with its number of devices.
pub(super) struct Names {
    cohorts: Vec<(String, u32)>,
}

impl Names {
    pub(super) fn new(cohorts: &[Cohort]) -> Self {
        let cohorts = cohorts
            .iter()
            .map(|cohort| (cohort.name.clone(), cohort.count));
        Self {
            cohorts: cohorts.collect(),
        }
    }

    /// How many orders a command makes in a stage of this length.
    pub(super) fn orders(&self, command: &StageCommand, duration: Duration) -> f64 {
        match command.amount {
            Amount::Rate(rate) => (rate * duration.as_secs_f64()).round(),
            Amount::Each(each) => {
                let devices = match command.to {
                    Some(to) => f64::from(self.cohorts[usize::from(to.0)].1),
                    None => self
                        .cohorts
                        .iter()
                        .map(|(_, count)| f64::from(*count))
                        .sum(),
                };
                f64::from(each) * devices
            }
        }
    }

    /// The cohort that `to` names; `None` for all devices.
    pub(super) fn to(&self, found: &Found, problems: &mut Problems) -> Option<CohortId> {
        let name = found.text("to")?;
        let at = self.cohorts.iter().position(|(known, _)| known == name);
        if at.is_none() {
            problems.add(
                found.place_of("to"),
                format!("there is no cohort \"{name}\""),
                suggest(name, self.cohorts.iter().map(|(known, _)| known.as_str())),
            );
        }
        at.and_then(|at| u16::try_from(at).ok()).map(CohortId)
    }
}

/// All cohorts, in the order of the file.
pub(super) fn all(found: &Found, resolving: &mut Resolving) -> Vec<Cohort> {
    let tables = found.tables("cohorts");
    if tables.is_empty() && found.is_given("cohorts") {
        let message = "there is no cohort, so there is no device";
        resolving
            .problems
            .add(found.place_of("cohorts"), message, "add [[cohorts]]");
    }
    let cohorts: Vec<Cohort> = tables
        .iter()
        .map(|table| cohort(table, resolving))
        .collect();
    let mut seen = BTreeMap::new();
    for (table, cohort) in tables.iter().zip(&cohorts) {
        let line = resolving.problems.line_of(table.place_of("name"));
        if let Some(first) = seen.insert(cohort.name.as_str(), line)
            && !cohort.name.is_empty()
        {
            resolving.problems.add(
                table.place_of("name"),
                format!("a second cohort is called \"{}\"", cohort.name),
                format!("another name: the first one is at {first}"),
            );
        }
    }
    let devices: u64 = cohorts.iter().map(|cohort| u64::from(cohort.count)).sum();
    if let Some(last) = tables.last()
        && devices > DEVICES_MAX
    {
        let right = format!("at most {DEVICES_MAX} in all cohorts together");
        let message = format!("there are {devices} devices");
        resolving
            .problems
            .add(last.place_of("count"), message, right);
    }
    cohorts
}

fn cohort(found: &Found, resolving: &mut Resolving) -> Cohort {
    let name = found.text("name").cloned().unwrap_or_default();
    let preset = found
        .text("preset")
        .and_then(|name| preset::find(name))
        .or_else(|| preset::find("always-on"))
        .expect("the preset always-on exists");
    let product = found.text("model").map_or(preset.product, String::as_str);
    let model = hardware::find(product).expect("the reader takes known models only");
    let (os_version, build) = system(found, model.platform, &mut resolving.problems);
    let mut dist = |key: &str, guess: &'static str, usual: Dist| match found.dist(key) {
        Some(dist) => dist.clone(),
        None => {
            resolving.assumed.insert(guess);
            usual
        }
    };
    let push_latency = dist(
        "push-latency",
        "cohorts.push-latency",
        assumed::PUSH_LATENCY,
    );
    let stored_push_delay = dist(
        "stored-push-delay",
        "cohorts.stored-push-delay",
        assumed::STORED_PUSH_DELAY,
    );
    let wake_delay = dist("wake-delay", "cohorts.wake-delay", assumed::WAKE_DELAY);
    Cohort {
        count: found.count("count").copied().unwrap_or(1),
        traits: Traits {
            cohort: name.clone(),
            platform: model.platform,
            product: model.product.to_owned(),
            model_name: model.name.to_owned(),
            os_version,
            build,
            supervised: found
                .flag("supervised")
                .copied()
                .unwrap_or(preset.supervised),
            push_latency,
            stored_push_delay,
            wake_delay,
            reply: reply(found, resolving),
            sleep: alternation(found, &SLEEP, &preset, resolving),
            offline: alternation(found, &LINK, &preset, resolving),
            not_now: found.tables("not-now").iter().map(not_now).collect(),
            back_off: back_off(found, resolving),
        },
        name,
    }
}

fn system(found: &Found, platform: Platform, problems: &mut Problems) -> (String, String) {
    let usual = hardware::usual_version(platform);
    let version = found.text("os").map_or(usual, String::as_str);
    let known = hardware::build(platform, version);
    if known.is_none() && !found.is_given("build") {
        let versions: Vec<&str> = hardware::versions(platform).collect();
        problems.add(
            found.place_of("os"),
            format!(
                "the build of {} {version} is not known",
                hardware::system(platform)
            ),
            format!(
                "add build = \"..\", or one of \"{}\"",
                versions.join("\", \"")
            ),
        );
    }
    let build = found.text("build").map(String::as_str).or(known);
    (version.to_owned(), build.unwrap_or_default().to_owned())
}

fn reply(found: &Found, resolving: &mut Resolving) -> ReplyTimes {
    let mut by_request = found.reply_times("reply").cloned().unwrap_or_default();
    let is_usual_given = by_request.contains_key("usual");
    let usual = by_request.remove("usual").unwrap_or_else(|| {
        resolving.assumed.insert("cohorts.reply.usual");
        assumed::REPLY
    });
    let guesses = [
        (
            "InstallProfile",
            "cohorts.reply.InstallProfile",
            assumed::REPLY_INSTALL_PROFILE,
        ),
        (
            "InstalledApplicationList",
            "cohorts.reply.InstalledApplicationList",
            assumed::REPLY_APPLICATION_LIST,
        ),
    ];
    // One who writes `usual` means it for every type not named.
    for (request, key, guess) in guesses.into_iter().filter(|_| !is_usual_given) {
        if !by_request.contains_key(request) {
            resolving.assumed.insert(key);
            by_request.insert(request.to_owned(), guess);
        }
    }
    ReplyTimes { usual, by_request }
}

/// The keys of a state that comes and goes.
struct CycleKeys {
    key: &'static str,
    inside: &'static str,
    outside: &'static str,
    share: &'static str,
    guess: &'static str,
    share_guess: &'static str,
    of: fn(&Preset) -> Option<&Cycle>,
}

const SLEEP: CycleKeys = CycleKeys {
    key: "sleep",
    inside: "asleep",
    outside: "awake",
    share: "share-asleep",
    guess: "cohorts.sleep",
    share_guess: "cohorts.sleep.share-asleep",
    of: |preset| preset.sleep.as_ref(),
};

const LINK: CycleKeys = CycleKeys {
    key: "link",
    inside: "offline",
    outside: "online",
    share: "share-offline",
    guess: "cohorts.link",
    share_guess: "cohorts.link.share-offline",
    of: |preset| preset.offline.as_ref(),
};

fn alternation(
    found: &Found,
    keys: &CycleKeys,
    preset: &Preset,
    resolving: &mut Resolving,
) -> Option<Alternation> {
    let usual = (keys.of)(preset);
    let Some(section) = found.table(keys.key) else {
        // The one word a table may be replaced by switches the preset's off.
        if found.is_given(keys.key) {
            return None;
        }
        let usual = usual?;
        resolving.assumed.insert(keys.guess);
        return Some(Alternation {
            inside: usual.inside.clone(),
            outside: usual.outside.clone(),
            begins_inside: usual.begins_inside,
        });
    };
    let begins_inside = section.number(keys.share).copied().unwrap_or_else(|| {
        resolving.assumed.insert(keys.share_guess);
        usual.map_or(assumed::SHARE_AWAY, |usual| usual.begins_inside)
    });
    let mut part = |key: &str, usual: Option<&Dist>| match (section.dist(key), usual) {
        (Some(dist), _) => {
            if typical(dist) < SHORTEST_STATE {
                resolving.problems.add(
                    section.place_of(key),
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
            if !section.is_present(key) {
                resolving.problems.add(
                    found.place_of(keys.key),
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
    Some(Alternation {
        inside: part(keys.inside, usual.map(|usual| &usual.inside)),
        outside: part(keys.outside, usual.map(|usual| &usual.outside)),
        begins_inside,
    })
}

/// A state that comes and goes faster than this would keep a device busy with nothing else.
const SHORTEST_STATE: Duration = Duration::from_millis(10);

const fn typical(dist: &Dist) -> Duration {
    match dist {
        Dist::Constant(span) | Dist::Uniform { high: span, .. } => *span,
        Dist::LogNormal { median: span, .. } | Dist::Exponential { mean: span } => *span,
    }
}

fn not_now(found: &Found) -> NotNowRule {
    NotNowRule {
        requests: found.requests("requests").cloned().unwrap_or_default(),
        probability: found.number("probability").copied().unwrap_or_default(),
        lasts: found.dist("for").cloned().unwrap_or(Dist::ZERO),
    }
}

fn back_off(found: &Found, resolving: &mut Resolving) -> BackOff {
    let section = found.table("back-off");
    let mut part = |key: &str, guess: &'static str, usual: Duration| {
        let given = section.and_then(|section| section.span(key).copied());
        given.unwrap_or_else(|| {
            resolving.assumed.insert(guess);
            usual
        })
    };
    let initial = part(
        "initial",
        "cohorts.back-off.initial",
        assumed::BACK_OFF_INITIAL,
    );
    let max = part("max", "cohorts.back-off.max", assumed::BACK_OFF_MAX);
    if let Some(section) = section
        && max < initial
    {
        resolving.problems.add(
            section.place_of("max"),
            "back-off ends below where it begins",
            "max at or above initial",
        );
    }
    BackOff { initial, max }
}
