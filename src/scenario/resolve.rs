//! From what was read to what it means: references, rules between keys, defaults that depend on
//! other keys.
//!
//! Resolving goes on after an error, with a stand-in that nobody sees, so that one pass finds all.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::document::Node;
use super::error::{Problems, suggest};
use super::found::Found;
use super::keys::SCENARIO;
use super::reader;
use super::{
    ApiTarget, Changes, ObserveTarget, Operator, Scenario, ScenarioErrors, SecretName, Target,
    assumed, cohort, embedded, event, expect, findings, gateway, micromdm, set, threshold,
    transport, way_in, work,
};
use crate::seed::Seed;

/// What resolving collects on its way.
pub(super) struct Resolving {
    pub(super) problems: Problems,
    /// Keys of guesses that are left at their default.
    pub(super) assumed: BTreeSet<&'static str>,
}

pub(super) fn scenario(
    text: &str,
    file: &str,
    changes: &Changes,
) -> Result<Scenario, ScenarioErrors> {
    let mut problems = Problems::new(file, text);
    let mut document = match Node::parse(text) {
        Ok(document) => document,
        Err(errors) => {
            for error in errors {
                problems.add(&error.place, "this is not TOML", error.message);
            }
            return Err(problems.into_errors());
        }
    };
    for set in &changes.sets {
        set::apply(&mut document, set, &mut problems);
    }
    let mut resolving = Resolving {
        problems,
        assumed: BTreeSet::new(),
    };
    let whole = resolve(&document, &mut resolving);
    if let Some(only) = &changes.only
        && !whole.cohorts.iter().any(|cohort| cohort.name == *only)
    {
        let begins = resolving.problems.add_source("--only", only);
        let names = whole.cohorts.iter().map(|cohort| cohort.name.as_str());
        let right = suggest(only, names);
        let place = begins..begins + only.len();
        resolving
            .problems
            .add(&place, format!("there is no cohort \"{only}\""), right);
    }
    if !resolving.problems.is_empty() {
        return Err(resolving.problems.into_errors());
    }
    // What is left out is judged first: an error in it is an error of the file.
    let mut scenario = match &changes.only {
        None => whole,
        Some(only) => {
            set::keep_only(&mut document, only);
            resolving.assumed.clear();
            resolve(&document, &mut resolving)
        }
    };
    if !resolving.problems.is_empty() {
        return Err(resolving.problems.into_errors());
    }
    let assumed = resolving.assumed.into_iter().map(assumed::find);
    scenario.left_default = assumed.collect();
    scenario.effective = if *changes == Changes::default() {
        text.to_owned()
    } else {
        format!(
            "# {file} with the changes of the command line\n{}",
            document.to_toml()
        )
    };
    Ok(scenario)
}

fn resolve(document: &Node, resolving: &mut Resolving) -> Scenario {
    let found = reader::read(document, &SCENARIO, &mut resolving.problems);
    let reset = found.table("target").map(reset).unwrap_or_default();
    let target = found.table("target").and_then(target);
    let enrollment = way_in::enrollment(&found, target.as_ref(), resolving);
    let target = target.unwrap_or_else(|| Target::Embedded(Box::default()));
    let transport = transport::transport(&found, &mut resolving.problems);
    let cohorts = cohort::all(&found, resolving);
    let names = cohort::Names::new(&cohorts);
    let stages = work::stages(&found, &names, resolving);
    if let Target::Micromdm(_) = target {
        micromdm::check(&found, &enrollment, &names, &stages, resolving);
    }
    let timeline = event::timeline(&found, &names, &stages, resolving);
    let expects = expect::all(&found, &names, resolving);
    let findings = findings::findings(&found, resolving);
    let thresholds = threshold::all(&found, &cohorts, &stages, resolving);
    Scenario {
        name: found.text("name").cloned().unwrap_or_default(),
        seed: Seed(found.seed("seed").copied().unwrap_or_default()),
        time_scale: found.number("time-scale").copied().unwrap_or(1.0),
        starts: found.span("starts").copied().unwrap_or_default(),
        apns: gateway::apns(&found, &target, &names, resolving),
        target,
        reset,
        transport,
        enrollment,
        operator: operator(&found),
        slow_after: slow_after(&found),
        cohorts,
        stages,
        timeline,
        thresholds,
        findings,
        expects,
        left_default: Vec::new(),
        effective: String::new(),
        cuts: Vec::new(),
    }
}

fn target(found: &Found) -> Option<Target> {
    if let Some(nanomdm) = found.table("nanomdm") {
        return Some(Target::Nanomdm(api_target(nanomdm)));
    }
    if let Some(micromdm) = found.table("micromdm") {
        return Some(Target::Micromdm(api_target(micromdm)));
    }
    if let Some(observe) = found.table("observe") {
        return Some(Target::Observe(ObserveTarget {
            url: observe.text("url").cloned().unwrap_or_default(),
            checkin_url: observe.text("checkin-url").cloned(),
            timeout: observe.span("timeout").copied().unwrap_or_default(),
            ca: path(observe, "ca"),
            headers: observe.headers("headers").cloned().unwrap_or_default(),
        }));
    }
    let embedded = found.table("embedded")?;
    Some(Target::Embedded(Box::new(embedded::embedded(embedded))))
}

/// The command that makes the target as good as new; empty when there is none.
fn reset(target: &Found) -> Vec<String> {
    let kinds = ["nanomdm", "micromdm", "observe"].into_iter();
    let mut kinds = kinds.filter_map(|kind| target.table(kind)?.words("reset"));
    kinds.next().cloned().unwrap_or_default()
}

fn api_target(found: &Found) -> ApiTarget {
    ApiTarget {
        url: found.text("url").cloned().unwrap_or_default(),
        api_key: SecretName(found.text("api-key").cloned().unwrap_or_default()),
        timeout: found.span("timeout").copied().unwrap_or_default(),
        ca: path(found, "ca"),
        headers: found.headers("headers").cloned().unwrap_or_default(),
        webhook: found.address("webhook").copied(),
    }
}

pub(super) fn path(found: &Found, key: &str) -> Option<PathBuf> {
    found.text(key).map(PathBuf::from)
}

/// Whether all URLs of a target are https; one that could not be read is no second error.
pub(super) fn is_all_https(target: &Target) -> bool {
    let is_https = |url: &str| url.is_empty() || url.starts_with("https://");
    match target {
        Target::Embedded(_) => true,
        Target::Nanomdm(target) | Target::Micromdm(target) => is_https(&target.url),
        Target::Observe(observe) => {
            is_https(&observe.url) && observe.checkin_url.as_deref().is_none_or(is_https)
        }
    }
}

fn slow_after(found: &Found) -> std::time::Duration {
    let report = found.table("report");
    let after = report.and_then(|report| report.span("slow-after"));
    after.copied().unwrap_or_default()
}

fn operator(found: &Found) -> Operator {
    let in_flight = found
        .table("operator")
        .and_then(|section| section.count("in-flight"));
    Operator {
        in_flight: in_flight.map_or(1, |count| *count as usize),
    }
}
