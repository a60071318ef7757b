//! Stages of work and the commands ordered in them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::cohort::Names;
use super::error::Problems;
use super::found::Found;
use super::resolve::{Resolving, path};
use super::{Amount, Arrival, CommandSource, Recipient, Stage, StageCommand, request};
use crate::ids::CohortId;

/// No plan has more orders: at 24 bytes each they are half a gigabyte.
const ORDERS_MAX: f64 = 20e6;

/// No scenario has more commands: a plan counts them in 16 bits.
const COMMANDS_MAX: usize = 10_000;

/// All stages, in the order of the file.
pub(super) fn stages(found: &Found, names: &Names<'_>, resolving: &mut Resolving) -> Vec<Stage> {
    let tables = found.tables("stages");
    let mut seen = BTreeMap::new();
    let mut orders = 0.0;
    let mut commands = 0;
    let mut stages = Vec::new();
    for table in tables {
        let stage = stage(table, names, &mut resolving.problems);
        let line = resolving.problems.line_of(table.place_of("name"));
        if let Some(first) = seen.insert(stage.name.clone(), line)
            && !stage.name.is_empty()
        {
            resolving.problems.add(
                table.place_of("name"),
                format!("a second stage is called \"{}\"", stage.name),
                format!("another name: the first one is at {first}"),
            );
        }
        commands += stage.commands.len();
        for command in &stage.commands {
            orders += names.orders(command, stage.duration);
        }
        if orders > ORDERS_MAX || commands > COMMANDS_MAX {
            resolving.problems.add(
                table.place_of("commands"),
                format!("this stage brings the plan to {orders:.0} orders of {commands} commands"),
                format!("at most {ORDERS_MAX:.0} orders and {COMMANDS_MAX} commands"),
            );
            break;
        }
        stages.push(stage);
    }
    stages
}

fn stage(found: &Found, names: &Names<'_>, problems: &mut Problems) -> Stage {
    let duration = found.span("duration").copied();
    if duration == Some(Duration::ZERO) {
        problems.add(
            found.place_of("duration"),
            "a stage without duration has no room for work",
            "a length of time above 0, as \"10s\"",
        );
    }
    Stage {
        name: found.text("name").cloned().unwrap_or_default(),
        duration: duration.unwrap_or(Duration::from_secs(1)),
        warm_up: found.flag("warm-up") == Some(&true),
        commands: found
            .tables("commands")
            .iter()
            .map(|table| command(table, names, problems))
            .collect(),
    }
}

fn command(found: &Found, names: &Names<'_>, problems: &mut Problems) -> StageCommand {
    let arrival = match found.text("arrival").map(String::as_str) {
        Some("even") => Arrival::Even,
        Some(_) | None => Arrival::Poisson,
    };
    let to = names.find(found, "to", problems);
    StageCommand {
        source: source(found, problems),
        to,
        recipient: recipient(found, names, to, problems),
        amount: amount(found, problems),
        arrival,
        serial: found.flag("serial") == Some(&true),
        place: problems.line_of(&found.place),
    }
}

fn recipient(
    found: &Found,
    names: &Names<'_>,
    to: Option<CohortId>,
    problems: &mut Problems,
) -> Recipient {
    if found.text("channel").map(String::as_str) != Some("user") {
        return Recipient::Device;
    }
    // A cohort that is not there is noted already.
    let is_wrong = to.is_none() && found.is_present("to");
    let without = names
        .meant(to)
        .iter()
        .find(|cohort| cohort.traits.users == 0);
    if let (Some(cohort), false) = (without, is_wrong) {
        problems.add(
            found.place_of("channel"),
            format!("channel is \"user\", but \"{}\" has no users", cohort.name),
            "users = 1 in the cohort, or to = a cohort with users",
        );
    }
    Recipient::User
}

fn amount(found: &Found, problems: &mut Problems) -> Amount {
    match (found.is_present("rate"), found.is_present("each")) {
        (true, true) => problems.add(
            found.place_of("each"),
            "a command has both rate and each",
            "one of them: rate = \"50/s\", or each = 1",
        ),
        (false, false) => problems.add(
            &found.place,
            "a command says neither rate nor each",
            "add rate = \"50/s\", or each = 1",
        ),
        (true, false) | (false, true) => {}
    }
    match (found.number("rate"), found.count("each")) {
        (Some(rate), _) => Amount::Rate(*rate),
        (None, Some(each)) => Amount::Each(*each),
        (None, None) => Amount::Each(1),
    }
}

fn source(found: &Found, problems: &mut Problems) -> CommandSource {
    if let Some(file) = path(found, "file") {
        for other in ["request", "keys", "payload"] {
            if found.is_present(other) {
                problems.add(
                    found.place_of(other),
                    format!("a command has both file and {other}"),
                    "file holds the whole command: leave this out",
                );
            }
        }
        return CommandSource::File(file);
    }
    let Some(request) = found.text("request") else {
        if !found.is_present("request") && !found.is_present("file") {
            problems.add(
                &found.place,
                "a command names neither request nor file",
                "add request = \"DeviceInformation\", or file = \"command.plist\"",
            );
        }
        return CommandSource::File(path(found, "payload").unwrap_or_default());
    };
    required_keys(request, found, problems);
    CommandSource::Request {
        request: request.clone(),
        keys: found.dictionary("keys").cloned().unwrap_or_default(),
        payload: path(found, "payload"),
    }
}

fn required_keys(request: &str, found: &Found, problems: &mut Problems) {
    let payload_key = request::payload_key(request);
    if found.is_present("payload") && payload_key.is_none() && request::is_known(request) {
        problems.add(
            found.place_of("payload"),
            format!("{request} carries no payload"),
            "leave it out, or give the whole command as file",
        );
    }
    // A wrong `keys` is noted already; what it would have held cannot be known.
    if found.is_present("keys") && found.dictionary("keys").is_none() {
        return;
    }
    let keys = found.dictionary("keys");
    let has = |key: &str| {
        keys.is_some_and(|keys| keys.contains_key(key))
            || (payload_key == Some(key) && found.is_present("payload"))
            || (request == "DeviceInformation" && key == "Queries")
    };
    for key in request::required_keys(request).unwrap_or_default() {
        if has(key) {
            continue;
        }
        let right = if payload_key == Some(*key) {
            "add payload = \"file\"".to_owned()
        } else {
            format!("add keys = {{ {key} = .. }}, or give the whole command as file")
        };
        problems.add(
            found.place_of("request"),
            format!("{request} needs {key}"),
            right,
        );
    }
    let one_of = request::one_of(request);
    if !one_of.is_empty() && !one_of.iter().any(|key| has(key)) {
        problems.add(
            found.place_of("request"),
            format!("{request} needs one of {}", one_of.join(", ")),
            format!("add keys = {{ {} = .. }}", one_of[0]),
        );
    }
}
