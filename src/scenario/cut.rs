//! A scenario played in part: a quick look, or enrolment alone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Amount, Arrival, Scenario, Timeline};

/// What of a scenario is left out, beyond what its text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// All but one device per cohort, and each command once.
    Once,
    /// All but enrolment.
    OnlyEnroll,
}

impl Scenario {
    /// What was left out, in the order in which it was: the effective text does not have it.
    pub fn cuts(&self) -> &[Cut] {
        &self.cuts
    }

    /// Leaves something out.
    pub fn cut(&mut self, cut: Cut) {
        match cut {
            Cut::Once => self.play_once(),
            Cut::OnlyEnroll => self.only_enroll(),
        }
        self.cuts.push(cut);
    }

    /// One device per cohort, each command once, and the shortest stages that keep their order.
    fn play_once(&mut self) {
        for cohort in &mut self.cohorts {
            cohort.count = 1;
        }
        // What is expected of the crowd says nothing of one device of each cohort.
        self.expects.clear();
        for stage in &mut self.stages {
            let shortest = Duration::from_secs(1).mul_f64(self.time_scale);
            stage.duration = stage.duration.min(shortest);
            for command in &mut stage.commands {
                command.amount = Amount::Each(1);
                command.arrival = Arrival::Even;
            }
        }
    }

    /// Nothing is ordered and nothing happens: what is said of commands does not count.
    fn only_enroll(&mut self) {
        self.stages.clear();
        self.timeline = Timeline {
            events: Vec::new(),
            happenings: Vec::new(),
            reissues: Vec::new(),
        };
        self.thresholds.clear();
        self.expects.clear();
    }
}
