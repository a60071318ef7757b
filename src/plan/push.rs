//! What a plan says of pushes from the beginning: how the service is, and what goes wrong.

use std::fmt::Write as _;

use super::Plan;
use crate::apns::fault::{Fault, Strikes};
use crate::apns::service::{Rate, STREAMS, Service};
use crate::ids::CohortId;
use crate::scenario::{PushFault, Scenario, written, written_dist};
use crate::seed::Dist;

/// What the scenario makes of the push service from the beginning.
#[derive(Clone, Debug, PartialEq)]
pub struct PushPlan {
    /// How the service is.
    pub service: Service,
    /// Whether a push without an expiration is kept for a device that cannot be reached.
    pub store_without_expiration: bool,
    /// What goes wrong with pushes, in the order of the file.
    pub faults: Vec<PushFault>,
}

impl PushPlan {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self {
            service: scenario.apns.service(),
            store_without_expiration: scenario.apns.store_without_expiration,
            faults: scenario.apns.faults.clone(),
        }
    }

    /// What is not as usual, a line for each.
    pub(super) fn lines(&self, plan: &Plan) -> Vec<String> {
        let Service {
            is_out: _,
            refuses_connect: _,
            streams,
            lowers_streams,
            rate,
        } = self.service;
        let mut lines = Vec::new();
        if streams != STREAMS {
            lines.push(format!("streams {streams}"));
        }
        if lowers_streams {
            lines.push("one stream after a rejected push".to_owned());
        }
        if let Some(rate) = rate {
            lines.push(format!("rate {}", written_rate(rate)));
        }
        if !self.store_without_expiration {
            lines.push("none is kept without an expiration".to_owned());
        }
        let faults = self.faults.iter();
        lines.extend(faults.map(|fault| format!("fault {}", written_fault(plan, fault))));
        lines
    }
}

/// A fault with all that a scenario may say of it.
pub(super) fn written_fault(plan: &Plan, fault: &PushFault) -> String {
    let PushFault { of, strikes, fault } = fault;
    let mut text = fault.name().to_owned();
    let by = |text: &mut String, dist: &Dist| write!(text, " by {}", written_dist(dist));
    let written = match fault {
        Fault::Delay(dist) | Fault::Duplicate(dist) | Fault::Reorder(dist) | Fault::Slow(dist) => {
            by(&mut text, dist)
        }
        Fault::Answer { status, reason } => {
            let reason = reason.map_or("", |reason| reason.name());
            write!(text, " {status} {reason}")
        }
        Fault::Garble { status } => write!(text, " {status}"),
        Fault::GoAway(reason) => write!(text, " {}", reason.name()),
        Fault::Drop | Fault::Hang | Fault::Reset => Ok(()),
    };
    written.expect("a string takes all text");
    let which = match strikes {
        Strikes::Share(share) => written_share(*share),
        Strikes::Nth(nth) => format!("number {nth}"),
    };
    format!("{}, {which} of {}", text.trim_end(), named(plan, *of))
}

/// A rate as a scenario has it.
pub(super) fn written_rate(rate: Rate) -> String {
    format!("{} per {}", rate.pushes, written(rate.per))
}

/// A share in per cent.
pub(super) fn written_share(share: f64) -> String {
    format!("{} %", (share * 1e4).round() / 1e2)
}

/// A cohort's name, or that all are meant.
pub(super) fn named(plan: &Plan, of: Option<CohortId>) -> &str {
    match of {
        Some(id) => plan.cohorts[usize::from(id.0)].name.as_str(),
        None => "all",
    }
}
