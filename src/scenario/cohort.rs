//! Cohorts: the preset's traits, and what the cohort says instead.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::{Problems, suggest};
use super::found::Found;
use super::resolve::Resolving;
use super::{Amount, Cohort, StageCommand, assumed, hardware, life, preset, rules};
use crate::device::traits::{BackOff, Platform, ReplyTimes, RuleScope, Traits, Update};
use crate::ids::CohortId;
use crate::seed::Dist;

/// More devices than a push token or one machine is made for.
const DEVICES_MAX: u64 = 10_000_000;

/// The names that commands and events may refer to, each with its number of devices.
pub(super) struct Names<'a> {
    cohorts: &'a [Cohort],
}

impl<'a> Names<'a> {
    pub(super) const fn new(cohorts: &'a [Cohort]) -> Self {
        Self { cohorts }
    }

    fn cohort(&self, id: CohortId) -> &'a Cohort {
        &self.cohorts[usize::from(id.0)]
    }

    /// How many devices a cohort has, or all have together.
    pub(super) fn devices(&self, of: Option<CohortId>) -> f64 {
        let meant = self.meant(of).iter();
        meant.map(|cohort| f64::from(cohort.count)).sum()
    }

    /// The name of a cohort.
    pub(super) fn name(&self, id: CohortId) -> &'a str {
        &self.cohort(id).name
    }

    /// The one cohort there is, if there is but one.
    pub(super) const fn only(&self) -> Option<CohortId> {
        match self.cohorts {
            [_] => Some(CohortId(0)),
            _ => None,
        }
    }

    /// The cohorts that `to` means.
    pub(super) fn meant(&self, to: Option<CohortId>) -> &'a [Cohort] {
        match to {
            Some(id) => std::slice::from_ref(self.cohort(id)),
            None => self.cohorts,
        }
    }

    /// The number of a cohort's rule, or what would be right.
    pub(super) fn rule(&self, id: CohortId, name: &str) -> Result<u8, String> {
        let traits = &self.cohort(id).traits;
        let not_now = traits.not_now.iter().map(|rule| &rule.scope);
        let failures = traits.failures.iter().map(|rule| &rule.scope);
        let misbehaves = traits.misbehaves.iter().map(|rule| &rule.scope);
        let named: Vec<&RuleScope> = not_now
            .chain(failures)
            .chain(misbehaves)
            .filter(|scope| !scope.name.is_empty())
            .collect();
        match named.iter().find(|scope| scope.name == name) {
            Some(scope) => Ok(scope.number),
            None if named.is_empty() => Err(format!("give one of its rules name = \"{name}\"")),
            None => Err(suggest(name, named.iter().map(|scope| scope.name.as_str()))),
        }
    }

    /// How many orders a command makes in a stage of this length.
    pub(super) fn orders(&self, command: &StageCommand, duration: Duration) -> f64 {
        match command.amount {
            Amount::Rate(rate) => (rate * duration.as_secs_f64()).round(),
            Amount::Each(each) => {
                let cohorts = self.meant(command.to).iter();
                let devices: f64 = cohorts.map(|cohort| f64::from(cohort.count)).sum();
                f64::from(each) * devices
            }
        }
    }

    /// The cohort that a key names; `None` for all devices.
    pub(super) fn find(
        &self,
        found: &Found,
        key: &str,
        problems: &mut Problems,
    ) -> Option<CohortId> {
        let name = found.text(key)?;
        let at = self.cohorts.iter().position(|known| known.name == *name);
        if at.is_none() {
            problems.add(
                found.place_of(key),
                format!("there is no cohort \"{name}\""),
                suggest(name, self.cohorts.iter().map(|known| known.name.as_str())),
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

#[expect(
    clippy::too_many_lines,
    reason = "one line for each of a cohort's traits"
)]
fn cohort(found: &Found, resolving: &mut Resolving) -> Cohort {
    let name = found.text("name").cloned().unwrap_or_default();
    let preset = found
        .text("preset")
        .and_then(|name| preset::find(name))
        .or_else(|| preset::find("always-on"))
        .expect("the preset always-on exists");
    let product = found.text("model").map_or(preset.product, String::as_str);
    let model = hardware::find(product).expect("the reader takes known models only");
    let preset = preset.on(model.platform);
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
    let poll_delay = dist("poll-delay", "cohorts.poll-delay", assumed::POLL_DELAY);
    let platform = model.platform;
    let lives = life::conditions(found, &preset, platform, resolving);
    let rules = rules::all(found, &mut resolving.problems);
    let flag = |key: &str, usual: bool| found.flag(key).copied().unwrap_or(usual);
    if !found.is_given("passcode") {
        resolving.assumed.insert("cohorts.passcode");
    }
    Cohort {
        count: found.count("count").copied().unwrap_or(1),
        traits: Traits {
            cohort: name.clone(),
            platform,
            product: model.product.to_owned(),
            model_name: model.name.to_owned(),
            os_version,
            build,
            supervised: flag("supervised", preset.supervised),
            passcode: flag("passcode", preset.passcode),
            users: life::users(found, &preset, platform, resolving),
            network_users: flag("network-users", false),
            push_latency,
            stored_push_delay,
            wake_delay,
            poll_delay,
            reply: reply(found, resolving),
            rhythms: lives.rhythms,
            begins: lives.begins,
            woken_by_push: life::woken_by_push(found, resolving),
            offline_before_first_unlock: life::offline_before_first_unlock(found, resolving),
            boot: life::boot(found, resolving),
            update: Update {
                takes: life::update(found, resolving),
                latest: hardware::versions(model.platform)
                    .last()
                    .unwrap_or_else(|| hardware::usual_version(model.platform))
                    .to_owned(),
                builds: hardware::versions(model.platform)
                    .filter_map(|version| {
                        let build = hardware::build(model.platform, version)?;
                        Some((version.to_owned(), build.to_owned()))
                    })
                    .collect(),
            },
            poll_on: life::poll_on(found, resolving),
            push_link: life::push_link(found, resolving),
            link: life::link(found, resolving),
            clock: life::clock(found, resolving),
            utc_offset_seconds: life::utc_offset(found, resolving),
            not_now: rules.not_now,
            failures: rules.failures,
            misbehaves: rules.misbehaves,
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
