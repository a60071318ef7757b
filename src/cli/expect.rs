//! What a scenario expects, as a report holds it against what happened.

use super::print::Stop;
use crate::engine::bundle::manifest::Played;
use crate::plan::Plan;
use crate::record::cause::Cause;
use crate::report::exit::Exit;
use crate::report::expect::{Expectation, Expected, HowMany};
use crate::scenario::{self as written, Expect, ExpectAt, Scenario, suggest};

/// The causes that expectations name; `scenario` does not know which there are.
///
/// # Errors
///
/// All names that no cause has.
pub(super) fn check_causes(scenario: &Scenario) -> Result<(), Stop> {
    let unknown = scenario.expects.iter().filter_map(|expect| {
        let name = expect.cause.as_deref()?;
        Cause::find(name).is_none().then(|| {
            let right = suggest(name, Cause::all().map(Cause::name));
            let place = &expect.place;
            format!("error: {place}: there is no cause \"{name}\"\nhelp: {right}")
        })
    });
    let errors: Vec<String> = unknown.collect();
    if errors.is_empty() {
        return Ok(());
    }
    Err(Stop::new(Exit::ScenarioInvalid, errors.join("\n\n")))
}

/// What the scenario expects of this plan.
pub(super) fn expectations(scenario: &Scenario, plan: &Plan, played: Played) -> Vec<Expectation> {
    let expects = scenario.expects.iter();
    expects.map(|it| expectation(it, plan, played)).collect()
}

fn expectation(expect: &Expect, plan: &Plan, played: Played) -> Expectation {
    Expectation {
        expression: expect.text.clone(),
        cohort: expect.cohort,
        after: match (expect.at, played) {
            (ExpectAt::End, _) => None,
            (ExpectAt::Time(at), Played::Virtual) => Some(at),
            (ExpectAt::Time(at), Played::Real) => Some(plan.real(at)),
        },
        what: match expect.what {
            written::Expected::Pending => Expected::Pending,
            written::Expected::Completed => Expected::Completed,
            written::Expected::Failed => Expected::Failed,
            written::Expected::Cancelled => Expected::Cancelled,
        },
        how_many: match expect.how_many {
            written::HowMany::Count { from, to } => HowMany::Count { from, to },
            written::HowMany::Share { from, to } => HowMany::Share { from, to },
        },
        cause: expect.cause.as_deref().and_then(Cause::find),
        code: expect.code,
    }
}
