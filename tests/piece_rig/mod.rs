//! A scenario file that comes with mdmstorm, and its rehearsal as `mdmstorm rehearse` does it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mdmstorm::fact::Fact;
use mdmstorm::ids::OrderBook;
use mdmstorm::plan::Plan;
use mdmstorm::reference_server::{self, Defects};
use mdmstorm::scenario::Scenario;
use mdmstorm::scenario::commands::build;
use mdmstorm::sim::checker::Checker;
use mdmstorm::sim::{Finished, Settings, World};

/// As `mdmstorm rehearse` drains by default, before it is scaled.
const DRAIN: Duration = Duration::from_secs(60);

/// A scenario file.
pub(crate) struct Piece {
    /// Its name, which is the scenario's too.
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    pub(crate) text: String,
    pub(crate) scenario: Scenario,
    pub(crate) plan: Arc<Plan>,
}

/// All that came of a rehearsal.
pub(crate) struct Rehearsal {
    pub(crate) facts: Vec<Fact>,
    pub(crate) book: OrderBook,
    pub(crate) outcome: Finished,
}

/// A folder of `scenarios`.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scenarios")
        .join(name)
}

impl Piece {
    /// The file of a folder, by its name without `.toml`.
    pub(crate) fn read(folder: &Path, name: &str) -> Self {
        let file = folder.join(format!("{name}.toml"));
        let text = std::fs::read_to_string(&file).unwrap();
        Self::of(file, text)
    }

    /// The same file with another text.
    pub(crate) fn with(&self, text: String) -> Self {
        Self::of(self.file.clone(), text)
    }

    fn of(file: PathBuf, text: String) -> Self {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let shown = format!("{name}.toml");
        let scenario = Scenario::parse(&text, &shown).unwrap_or_else(|errors| panic!("{errors}"));
        let built = scenario.commands().zip(scenario.files());
        let built = built.map(|(command, beside)| {
            let bytes = beside.map(|it| std::fs::read(file.with_file_name(it.path)).unwrap());
            build(command, bytes.as_deref()).unwrap()
        });
        let plan = Plan::new(&scenario, built.collect(), scenario.seed);
        Self {
            name,
            file,
            text,
            plan: Arc::new(plan),
            scenario,
        }
    }

    /// A rehearsal under the checker, against a server with these defects beside those of the file.
    pub(crate) fn rehearse(&self, defects: Defects) -> Rehearsal {
        let settings = Settings {
            drain: DRAIN.mul_f64(self.scenario.time_scale),
            server: reference_server::Settings {
                defects,
                ..reference_server::Settings::default()
            },
            ..Settings::default()
        };
        let mut world = World::new(&self.scenario, Arc::clone(&self.plan), settings);
        let book = *world.book();
        let (mut checker, mut facts) = (Checker::default(), Vec::new());
        while let Some(news) = world.step() {
            for fact in news {
                let looked = checker.look(fact);
                looked.unwrap_or_else(|broken| panic!("{} {defects}: {broken}", self.name));
            }
            facts.extend_from_slice(news);
        }
        Rehearsal {
            facts,
            book,
            outcome: world.finish(),
        }
    }
}
