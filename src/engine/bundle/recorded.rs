//! A bundle, read again: the plan it was made from, and the way to its facts.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::log::{EventLog, LogError};
use super::manifest::{EVENTS_VERSION, MANIFEST_VERSION, Manifest, Played};
use super::names::{self, DeviceNames};
use super::trace::{self, Traced};
use super::{INTERVALS, MANIFEST, SCENARIO};
use crate::finding::Detectors;
use crate::ids::{Channel, DeviceId, OrderBook, RunId};
use crate::plan::Plan;
use crate::record::Ledger;
use crate::record::interval::Interval;
use crate::record::setup::Setup;
use crate::report::HealthReport;
use crate::scenario::commands::build;
use crate::scenario::{Scenario, Target};
use crate::seed::Seed;
use crate::time::SimTime;

/// Why a bundle cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is no bundle.
    #[error(
        "{} is no results bundle: it has no {MANIFEST}; name a folder that `run` or \
         `rehearse --out` wrote",
        folder.display()
    )]
    NoBundle {
        /// The folder.
        folder: PathBuf,
    },
    /// A file of it.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Its manifest.
    #[error("{} is not a manifest: {why}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The run was over before it began.
    #[error(
        "{} is of a run that ended before its first device; there is nothing to report",
        folder.display()
    )]
    NotBegun {
        /// The folder.
        folder: PathBuf,
    },
    /// It was written by another version.
    #[error(
        "{} has {what} version {found}, and this is mdmstorm {}, which reads version {right}; \
         read it with the mdmstorm that wrote it{by}",
        folder.display(), env!("CARGO_PKG_VERSION")
    )]
    Version {
        /// The folder.
        folder: PathBuf,
        /// Of what.
        what: &'static str,
        /// The version it has.
        found: u64,
        /// The version that is read here.
        right: u32,
        /// Which one that is.
        by: String,
    },
    /// Its scenario.
    #[error("{} cannot be used: {why}", path.display())]
    Scenario {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The plan is another one.
    #[error(
        "{} was made from a plan that mdmstorm {by} drew, and this mdmstorm {} draws another one \
         from its scenario and seed; read it with the mdmstorm that wrote it",
        folder.display(), env!("CARGO_PKG_VERSION")
    )]
    OtherPlan {
        /// The folder.
        folder: PathBuf,
        /// The version that wrote it.
        by: String,
    },
    /// Its event log.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A bundle that can be read.
#[derive(Debug)]
pub struct Recorded {
    /// Where it is.
    pub folder: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
    /// The scenario as it ran.
    pub scenario: Scenario,
    /// The plan, made again. Commands that come from files have their request types alone.
    pub plan: Plan,
    /// The run's id.
    pub run: RunId,
    /// What the generator said of itself, where the run came to its end.
    pub health: Option<HealthReport>,
}

/// What of `summary.json` no fact has.
#[derive(Deserialize)]
struct Summary {
    health: HealthReport,
}

/// The versions of a manifest of any version.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Versions {
    manifest_version: u64,
    #[serde(default)]
    events_version: Option<u64>,
    #[serde(default)]
    mdmstorm: Option<String>,
    #[serde(default)]
    run: Option<String>,
}

impl Recorded {
    /// Opens the bundle in `folder` and makes its plan again.
    ///
    /// # Errors
    /// When it is none, cannot be read, or was written by a version with other formats or draws.
    pub fn open(folder: &Path) -> Result<Self, ReadError> {
        let manifest = manifest(folder)?;
        let run = manifest.run_id().ok_or_else(|| ReadError::Manifest {
            path: folder.join(MANIFEST),
            why: "run is not 32 hexadecimal digits".to_owned(),
        })?;
        let path = folder.join(SCENARIO);
        let text = read(&path)?;
        let wrong = |why: String| {
            let path = path.clone();
            ReadError::Scenario { path, why }
        };
        let scenario = Scenario::parse(&text, SCENARIO);
        let mut scenario = scenario.map_err(|errors| wrong(errors.to_string()))?;
        scenario.seed = Seed(manifest.seed);
        for cut in &manifest.cuts {
            scenario.cut(*cut);
        }
        let other = || ReadError::OtherPlan {
            folder: folder.to_owned(),
            by: manifest.mdmstorm.clone(),
        };
        if scenario.commands().count() != manifest.request_types.len() {
            return Err(other());
        }
        let commands = commands(&scenario, &manifest.request_types).map_err(wrong)?;
        let plan = Plan::new(&scenario, commands, scenario.seed);
        if plan.outline() != manifest.outline_hash {
            return Err(other());
        }
        let health = read(&folder.join("summary.json")).ok();
        let health = health.and_then(|text| serde_json::from_str(&text).ok());
        Ok(Self {
            folder: folder.to_owned(),
            health: health.map(|summary: Summary| summary.health),
            manifest,
            scenario,
            plan,
            run,
        })
    }

    /// Its facts.
    ///
    /// # Errors
    /// When there is no event log.
    pub fn events(&self) -> Result<EventLog, ReadError> {
        Ok(EventLog::open(&self.folder)?)
    }

    /// What a ledger had to know before the run.
    pub fn setup(&self) -> Setup {
        let is_observer = matches!(self.scenario.target, Target::Observe(_));
        Setup::of_plan(&self.plan, self.book(), is_observer)
    }

    /// Which CommandUUID belongs to which order.
    pub fn book(&self) -> OrderBook {
        OrderBook::new(self.run, self.plan.orders.len() as u32)
    }

    /// What the run's facts were folded into, empty: a ledger that looks when the run's did, and what
    /// watches the server.
    pub fn folds(&self) -> (Ledger, Detectors) {
        let mut setup = self.setup();
        let on_the_ruler = |time: Duration| match self.manifest.played {
            Played::Real => self.plan.real(time),
            Played::Virtual => time,
        };
        let limits = match self.manifest.played {
            Played::Real => {
                setup.trouble.time_scale = self.plan.time_scale;
                self.scenario.limits_of_findings()
            }
            Played::Virtual => {
                let limits = self.scenario.findings.limits.clone();
                limits.on_virtual_time(self.scenario.time_scale)
            }
        };
        let detectors = Detectors::with_limits(&setup, limits);
        let mut ledger = Ledger::new(setup);
        ledger.take_snapshots_after(self.scenario.looks().map(on_the_ruler).collect());
        ledger.explain_longer_than(on_the_ruler(self.scenario.slow_after));
        (ledger, detectors)
    }

    /// What happened second by second, as far as it was written.
    pub fn intervals(&self) -> Vec<Interval> {
        let text = read(&self.folder.join(INTERVALS)).unwrap_or_default();
        let lines = text.lines();
        // The last line of a run that was killed may not be whole.
        lines
            .map_while(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// What was traced of a device, by channel and time.
    ///
    /// # Errors
    /// When the trace cannot be read.
    pub fn traced(
        &self,
        device: DeviceId,
    ) -> Result<BTreeMap<(Channel, SimTime), Traced>, ReadError> {
        trace::read(&self.folder, device).map_err(|source| ReadError::File {
            path: self.folder.join(trace::TRACE),
            source,
        })
    }

    /// The first device that `wanted` picks.
    ///
    /// # Errors
    /// When the file of names cannot be read.
    pub fn find(
        &self,
        wanted: impl Fn(&DeviceNames) -> bool,
    ) -> Result<Option<DeviceNames>, ReadError> {
        names::find(&self.folder, wanted).map_err(|source| ReadError::File {
            path: self.folder.join(names::NAMES),
            source,
        })
    }
}

fn manifest(folder: &Path) -> Result<Manifest, ReadError> {
    let path = folder.join(MANIFEST);
    if !path.exists() {
        let folder = folder.to_owned();
        return Err(ReadError::NoBundle { folder });
    }
    let text = read(&path)?;
    let wrong = |error: serde_json::Error| ReadError::Manifest {
        path: path.clone(),
        why: error.to_string(),
    };
    let versions: Versions = serde_json::from_str(&text).map_err(wrong)?;
    let by = versions.mdmstorm.as_ref();
    let by = by.map_or_else(String::new, |version| format!(", {version}"));
    let events = versions
        .events_version
        .unwrap_or_else(|| EVENTS_VERSION.into());
    for (what, found, right) in [
        ("manifest", versions.manifest_version, MANIFEST_VERSION),
        ("event log", events, EVENTS_VERSION),
    ] {
        if found != u64::from(right) {
            return Err(ReadError::Version {
                folder: folder.to_owned(),
                what,
                found,
                right,
                by,
            });
        }
    }
    if versions.run.is_none() {
        let folder = folder.to_owned();
        return Err(ReadError::NotBegun { folder });
    }
    serde_json::from_str(&text).map_err(wrong)
}

/// The commands of the scenario; of those that come from files only what kind they are is known.
fn commands(scenario: &Scenario, types: &[String]) -> Result<Vec<plist::Dictionary>, String> {
    let commands = scenario.commands().zip(scenario.files()).zip(types);
    commands
        .map(|((command, file), request_type)| {
            if file.is_some() {
                let kind = plist::Value::String(request_type.clone());
                let dictionary = [("RequestType".to_owned(), kind)];
                return Ok(dictionary.into_iter().collect());
            }
            build(command, None).map_err(|error| error.to_string())
        })
        .collect()
}

fn read(path: &Path) -> Result<String, ReadError> {
    fs::read_to_string(path).map_err(|source| {
        let path = path.to_owned();
        ReadError::File { path, source }
    })
}
