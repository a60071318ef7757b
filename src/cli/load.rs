//! From a scenario file to a plan: reads the files, and shows every error at once.

use std::path::{Path, PathBuf};

use super::args::{ScenarioArgs, StateArgs, TraceArgs};
use super::expect::check_causes;
use super::print::{Stop, colour};
use crate::engine::bundle::trace::DEVICES_MAX;
use crate::ids::DeviceId;
use crate::plan::Plan;
use crate::report::exit::Exit;
use crate::scenario::commands::build;
use crate::scenario::{Changes, Cut, Scenario};
use crate::seed::Seed;

/// The most bytes of a command file that are read; a larger file is no command.
const FILE_MAX: u64 = 16 << 20;

/// The scenario of these arguments.
pub(super) fn scenario(args: &ScenarioArgs) -> Result<Scenario, Stop> {
    let changes = Changes {
        sets: args.set.clone(),
        only: args.only.clone(),
    };
    let mut scenario = scenario_file(&args.scenario, &changes)?;
    if let Some(seed) = args.seed {
        scenario.seed = Seed(seed);
    }
    if args.once {
        scenario.cut(Cut::Once);
    }
    check_causes(&scenario)?;
    Ok(scenario)
}

/// The scenario of a file.
pub(super) fn scenario_file(path: &Path, changes: &Changes) -> Result<Scenario, Stop> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let message = format!(
            "error: cannot read the scenario {}: {error}\n\
             examples are in scenarios/; start with scenarios/quickstart.toml",
            path.display()
        );
        Stop::new(Exit::Usage, message)
    })?;
    let mut scenario = Scenario::parse_with(&text, &path.display().to_string(), changes)
        .map_err(|errors| Stop::new(Exit::ScenarioInvalid, errors.render(colour())))?;
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    scenario.locate(folder);
    Ok(scenario)
}

/// The devices that these arguments want to have watched.
pub(super) fn watched(args: &TraceArgs, plan: &Plan) -> Result<Vec<DeviceId>, Stop> {
    let mut devices = args.trace.clone();
    devices.sort_unstable();
    devices.dedup();
    if devices.len() > DEVICES_MAX {
        let message = format!(
            "error: --trace names {} devices, and at most {DEVICES_MAX} are traced at once",
            devices.len()
        );
        return Err(Stop::new(Exit::Usage, message));
    }
    if let Some(device) = devices.iter().find(|device| **device >= plan.devices()) {
        let last = plan.devices().saturating_sub(1);
        let message =
            format!("error: --trace names device {device}, but the devices are 0 to {last}");
        return Err(Stop::new(Exit::Usage, message));
    }
    Ok(devices.into_iter().map(DeviceId).collect())
}

/// The plan of a scenario, with the command files it names.
pub(super) fn plan(scenario: &Scenario, path: &Path) -> Result<Plan, Stop> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut built = Vec::new();
    let mut wrong = Vec::new();
    for (command, file) in scenario.commands().zip(scenario.files()) {
        let bytes = match file {
            None => None,
            Some(file) => match read(&folder.join(file.path)) {
                Ok(bytes) => Some(bytes),
                Err(why) => {
                    let path = folder.join(file.path);
                    wrong.push(format!(
                        "error: {}: cannot read {}: {why}",
                        file.place,
                        path.display()
                    ));
                    continue;
                }
            },
        };
        match build(command, bytes.as_deref()) {
            Ok(dictionary) => built.push(dictionary),
            Err(error) => wrong.push(format!("error: {error}")),
        }
    }
    if !wrong.is_empty() {
        return Err(Stop::new(Exit::ScenarioInvalid, wrong.join("\n")));
    }
    Ok(Plan::new(scenario, built, scenario.seed))
}

/// A plan's notes, each on a line behind an empty one; nothing when there is none.
pub(super) fn notes(plan: &Plan) -> String {
    let notes = plan.notes();
    let lines = notes.iter().map(|note| format!("\nnote: {note}\n"));
    lines.collect()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let size = std::fs::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if size > FILE_MAX {
        return Err(format!(
            "it has {size} bytes, and no command has more than {FILE_MAX}"
        ));
    }
    std::fs::read(path).map_err(|error| error.to_string())
}

/// The state folder of these arguments.
#[expect(
    clippy::disallowed_methods,
    reason = "cli is where the environment is read"
)]
pub(super) fn state_folder(args: &StateArgs) -> Result<PathBuf, Stop> {
    if let Some(folder) = &args.state {
        return Ok(folder.clone());
    }
    let variable = |name| std::env::var(name).ok().map(std::ffi::OsString::from);
    let (state, home) = (variable("XDG_STATE_HOME"), variable("HOME"));
    crate::engine::state::State::default_dir(state.as_deref(), home.as_deref()).ok_or_else(|| {
        let message = "error: neither XDG_STATE_HOME nor HOME is set, so there is no place for \
                       keys and certificates; name a folder with --state";
        Stop::new(Exit::Usage, message)
    })
}
