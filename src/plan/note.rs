//! What a plan's reader should know before the run: it is right, and perhaps not what was meant.

use std::time::Duration;

use super::{CohortPlan, Plan};
use crate::condition::Condition;
use crate::device::traits::{Shape, Window};
use crate::scenario::{written, written_week_time};

const DAY: Duration = Duration::from_secs(86_400);

/// How long a run waits for open commands after the last stage unless it is told otherwise.
const USUAL_DRAIN: Duration = Duration::from_secs(60);

impl Plan {
    /// Notes for the one who wrote the scenario, each a sentence.
    pub fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self
            .cohorts
            .iter()
            .filter_map(|cohort| self.out_of_reach(cohort))
            .collect();
        notes.extend(self.after_the_end());
        notes
    }

    /// A cohort that is asleep or off by the time of day while everything happens.
    fn out_of_reach(&self, cohort: &CohortPlan) -> Option<String> {
        let away = [Condition::Asleep, Condition::Offline, Condition::Off];
        let offset = i64::from(cohort.traits.utc_offset_seconds);
        let begins = i64::try_from(self.starts.as_secs()).ok()? + offset;
        // A week is added so that a time zone in the west leaves no negative time.
        let local = Duration::from_secs(u64::try_from(begins + 7 * 86_400).ok()?);
        for rhythm in &cohort.traits.rhythms {
            let Shape::Daily { windows, days, .. } = &rhythm.shape else {
                continue;
            };
            if !away.contains(&rhythm.condition) {
                continue;
            }
            let ends = windows
                .iter()
                .filter_map(|window| end(*window, *days, local));
            if let Some(ends) = ends.max()
                && ends >= local + self.length()
            {
                return Some(format!(
                    "{} is {} by the time of day from the beginning ({}) until {}, after the last stage; set \
                     `starts`, or its own rhythm",
                    cohort.name,
                    rhythm.condition.name(),
                    written_week_time(local),
                    written_week_time(ends),
                ));
            }
        }
        None
    }

    /// Changes so long after the last stage that a run does not wait for them.
    fn after_the_end(&self) -> Option<String> {
        let length = self.length();
        let is_late = |at: Duration| self.real(at.saturating_sub(length)) > USUAL_DRAIN;
        let changes = self.timeline.iter().filter(|entry| is_late(entry.at));
        let happenings = self.happenings.iter().filter(|late| is_late(late.at));
        let count = changes.count() + happenings.count();
        (count > 0 && !length.is_zero()).then(|| {
            format!(
                "{count} changes of the timeline come more than {} of real time after the last \
                 stage, which ends at {}; a stage without commands makes the run longer, and so \
                 does --drain",
                written(USUAL_DRAIN),
                written(length)
            )
        })
    }
}

/// When the window that holds at `local`, a time of the second week, ends.
fn end(window: Window, days: [bool; 7], local: Duration) -> Option<Duration> {
    let today = local.as_secs() / DAY.as_secs();
    [today - 1, today].into_iter().find_map(|day| {
        if !days[(day % 7) as usize] {
            return None;
        }
        let midnight = DAY * u32::try_from(day).ok()?;
        let goes_on = if window.to <= window.from {
            DAY
        } else {
            Duration::ZERO
        };
        let (from, to) = (midnight + window.from, midnight + window.to + goes_on);
        (from <= local && local < to).then_some(to)
    })
}
