//! What is to be reduced: a scenario, or that of a results bundle.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{ReduceArgs, folder_of};
use crate::cli::print::{Stop, colour};
use crate::reduce::Candidate;
use crate::report::exit::Exit;
use crate::scenario::{Changes, Scenario};

/// The scenario to begin with.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) candidate: Candidate,
    /// What paths in it are relative to.
    pub(super) folder: PathBuf,
}

/// What of a bundle's manifest its scenario does not say.
#[derive(Deserialize)]
struct Manifest {
    seed: Option<u64>,
}

/// Reads what the arguments name.
pub(super) fn read(args: &ReduceArgs) -> Result<Source, Stop> {
    let is_bundle = args.from.is_dir();
    let path = if is_bundle {
        args.from.join("scenario.toml")
    } else {
        args.from.clone()
    };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let what = if is_bundle {
            "a results bundle has one, when its run has begun"
        } else {
            "name a scenario, or the folder of a results bundle"
        };
        let message = format!("error: cannot read {}: {error}; {what}", path.display());
        Stop::new(Exit::Usage, message)
    })?;
    let name = path.display().to_string();
    let wrong = |errors: crate::scenario::ScenarioErrors| {
        Stop::new(Exit::ScenarioInvalid, errors.render(colour()))
    };
    let changes = Changes {
        sets: args.set.clone(),
        only: None,
    };
    let scenario = Scenario::parse_with(&text, &name, &changes).map_err(wrong)?;
    let mut candidate = Candidate::parse(scenario.effective_toml(), &name).map_err(wrong)?;
    let folder = folder_of(&path);
    if let Some(file) = missing(&candidate, &folder).filter(|_| is_bundle) {
        let message = format!(
            "error: {name} names {}, and a results bundle does not have the files of its scenario; \
             name the scenario instead, with --seed {}",
            file.display(),
            seed_of(&args.from).unwrap_or_default()
        );
        return Err(Stop::new(Exit::Usage, message));
    }
    let recorded = is_bundle.then(|| seed_of(&args.from)).flatten();
    if let Some(seed) = args.seed.or(recorded) {
        candidate = candidate.with_seed(seed);
    }
    Ok(Source { candidate, folder })
}

/// The first file that a command needs and that is not there.
fn missing(candidate: &Candidate, folder: &Path) -> Option<PathBuf> {
    let mut files = candidate.scenario().files().flatten();
    let file = files.find(|file| !folder.join(file.path).exists());
    file.map(|file| file.path.to_owned())
}

/// The seed of a bundle's run, which may have come from its command line.
fn seed_of(bundle: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(bundle.join("manifest.json")).ok()?;
    let manifest: Manifest = serde_json::from_str(&text).ok()?;
    manifest.seed
}

impl Source {
    /// The candidate as it is written to `out`: paths are relative to the file that names them.
    /// `None` when nothing in it moves.
    pub(super) fn moved_to(&self, candidate: &Candidate, out: &Path) -> Option<Candidate> {
        let (from, to) = (self.folder.canonicalize(), folder_of(out).canonicalize());
        match (from, to) {
            (Ok(from), Ok(to)) if from != to => candidate.with_paths_from(&from),
            (Ok(_) | Err(_), _) => None,
        }
    }
}
