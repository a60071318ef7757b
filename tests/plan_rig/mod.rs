//! The plan of a scenario file, with the files that its commands name.

use std::path::Path;
use std::sync::Arc;

use mdmstorm::plan::Plan;
use mdmstorm::scenario::Scenario;
use mdmstorm::scenario::commands::build;

/// The plan of `scenario`, which stands in `folder`.
pub(crate) fn plan_of(scenario: &Scenario, folder: &Path) -> Arc<Plan> {
    let built = scenario.commands().zip(scenario.files());
    let built = built.map(|(command, file)| {
        let bytes = file.map(|file| std::fs::read(folder.join(file.path)).unwrap());
        build(command, bytes.as_deref()).unwrap()
    });
    Arc::new(Plan::new(scenario, built.collect(), scenario.seed))
}
