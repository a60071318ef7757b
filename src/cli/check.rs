//! `mdmstorm check`: is a scenario right, and are the files it names?

use super::args::ScenarioArgs;
use super::load;
use super::print::{Stop, say};

pub(super) fn run(args: &ScenarioArgs) -> Result<u8, Stop> {
    let scenario = load::scenario(args)?;
    let plan = load::plan(&scenario, &args.scenario)?;
    let (devices, orders) = (plan.devices(), plan.orders.len());
    let (cohorts, stages) = (plan.cohorts.len(), plan.stages.len());
    say(&format!(
        "{}: ok\n{devices} devices in {cohorts} cohort{}, {orders} orders in {stages} stage{}, \
         plan {}{}",
        args.scenario.display(),
        plural(cohorts),
        plural(stages),
        &plan.hash()[..16],
        load::notes(&plan).trim_end(),
    ));
    Ok(0)
}

const fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
