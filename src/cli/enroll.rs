//! `mdmstorm enroll`: the devices of a scenario enrol, are kept in a roster, and rest.

use std::path::{Path, PathBuf};

use super::args::EnrollArgs;
use super::load;
use super::print::{Stop, say};
use super::run::{play, settings};
use crate::engine::run::Settings;
use crate::scenario::{Cut, Target};

pub(super) fn run(args: &EnrollArgs) -> Result<u8, Stop> {
    let mut scenario = load::scenario(&args.scenario)?;
    scenario.cut(Cut::OnlyEnroll);
    let plan = load::plan(&scenario, &args.scenario.scenario)?;
    let settings = settings(&args.real, &scenario)?;
    let roster = match (&args.roster, &scenario.target) {
        (Some(roster), _) => Some(roster.clone()),
        // Its devices are gone when the run ends: enrolling is all that there is to see.
        (None, Target::Embedded(_)) => None,
        (None, Target::Nanomdm(_) | Target::Micromdm(_) | Target::Observe(_)) => {
            Some(default_roster(&settings.state, &scenario.name))
        }
    };
    let kept = roster.clone();
    let exit = play(&args.real, scenario, plan, Settings { roster, ..settings })?;
    if let Some(roster) = kept {
        let roster = roster.display();
        say(&format!(
            " to use them again: mdmstorm run {} --roster {roster}",
            args.scenario.scenario.display()
        ));
    }
    Ok(exit)
}

/// Where a scenario's devices are kept when nothing else is said.
fn default_roster(state: &Path, name: &str) -> PathBuf {
    let part = |c: char| match c {
        c if c.is_alphanumeric() || c == '-' || c == '_' => c,
        _ => '-',
    };
    let folder: String = name.chars().map(part).collect();
    state.join("rosters").join(folder)
}
