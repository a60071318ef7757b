//! When a condition comes and goes by itself: by turns, at times of the day, or as a NAT forgets.
//!
//! The next change alone is drawn, when the one before it has happened.

use std::time::Duration;

use super::environment::Environment;
use super::traits::{Shape, Window};
use crate::condition::Condition;
use crate::ids::DeviceId;
use crate::seed::{Dist, Draw, Purpose};
use crate::time::SimTime;

/// Where one condition of one device is in its rhythm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    /// The next change; [`SimTime::NEVER`] while an event holds the condition.
    pub(super) next: SimTime,
    /// Numbers the draws.
    changes: u32,
    /// Of daily windows: the edge of the next change, before its spread, in microseconds of the
    /// device's own scenario time since time zero.
    edge_us: u64,
}

/// No stretch is shorter on the ruler, whatever distribution and time scale say: a device that
/// changes faster would do nothing else.
pub(super) const SHORTEST_STRETCH: Duration = Duration::from_millis(10);

const DAY: u64 = 24 * 3600 * 1_000_000;

/// What a course needs to know to draw: whose it is and how it runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beat<'a> {
    pub(super) env: &'a Environment,
    pub(super) device: DeviceId,
    pub(super) condition: Condition,
    pub(super) shape: &'a Shape,
    /// Time zero.
    pub(super) zero: SimTime,
    /// The device's local time of the week at time zero.
    pub(super) starts: Duration,
}

impl Course {
    /// A course that has not begun.
    pub(super) const IDLE: Self = Self {
        next: SimTime::NEVER,
        changes: 0,
        edge_us: 0,
    };

    /// Begins at time zero; whether the device begins in the condition.
    pub(super) fn begin(&mut self, beat: &Beat<'_>) -> bool {
        match beat.shape {
            Shape::Alternates { begins_inside, .. } => {
                let mut die = beat.draw(0);
                let inside = die.chance(*begins_inside);
                // The first stretch is entered somewhere in its course, so that a crowd does not
                // move in step.
                self.plan(beat, beat.zero, 0, inside, die.unit());
                inside
            }
            Shape::Daily { windows, days, .. } => {
                let inside = is_inside(windows, days, beat.week_us(0));
                self.plan(beat, beat.zero, 0, inside, 1.0);
                inside
            }
        }
    }

    /// The next change was due at `due`, after which the condition holds or not, as `inside` says.
    pub(super) fn turn(&mut self, beat: &Beat<'_>, due: SimTime, inside: bool) {
        self.changes += 1;
        // Counted from its edge: a window may be over before its spread is.
        self.plan(beat, due, self.edge_us, inside, 1.0);
    }

    /// Something else than time has ended or begun the condition at `now`.
    pub(super) fn restart(&mut self, beat: &Beat<'_>, now: SimTime, inside: bool) {
        self.changes += 1;
        self.plan(beat, now, beat.elapsed_us(now), inside, 1.0);
    }

    /// An event holds the condition: no change by itself until [`Course::restart`].
    pub(super) const fn hold(&mut self) {
        self.next = SimTime::NEVER;
    }

    /// Draws when the stretch that began at `from` ends, of a rhythm of days the next edge after
    /// `elapsed_us`; `share` of it is left.
    fn plan(&mut self, beat: &Beat<'_>, from: SimTime, elapsed_us: u64, inside: bool, share: f64) {
        self.next = match beat.shape {
            Shape::Alternates {
                inside: within,
                outside,
                ..
            } => {
                let span: &Dist = if inside { within } else { outside };
                let span = beat
                    .draw(u64::from(self.changes) + 1)
                    .span(span)
                    .mul_f64(share);
                from + beat.env.scaled(span).max(SHORTEST_STRETCH)
            }
            Shape::Daily {
                windows,
                days,
                spread,
            } => {
                let Some(edge) = next_edge(windows, days, beat, elapsed_us, inside) else {
                    self.next = SimTime::NEVER;
                    return;
                };
                self.edge_us = edge;
                let late = beat.draw(u64::from(self.changes) + 1).span(spread);
                let at = beat.zero + beat.env.scaled(Duration::from_micros(edge) + late);
                at.max(from + SHORTEST_STRETCH)
            }
        };
    }
}

impl Beat<'_> {
    fn draw(&self, event: u64) -> Draw {
        let subject = u64::from(self.device.0);
        let seed = self.env.seed;
        let (purpose, attempt) = if self.condition == Condition::Asleep {
            (Purpose::Sleep, 0)
        } else if self.condition == Condition::Offline {
            (Purpose::Link, 0)
        } else {
            (Purpose::Rhythm, self.condition as u32)
        };
        seed.draw(purpose, subject, event, attempt)
    }

    /// Scenario time since time zero.
    fn elapsed_us(&self, at: SimTime) -> u64 {
        let elapsed = at.since(self.zero).mul_f64(self.env.time_scale);
        elapsed.as_micros() as u64
    }

    /// The device's time of the week, `elapsed_us` after time zero.
    fn week_us(&self, elapsed_us: u64) -> u64 {
        (self.starts.as_micros() as u64 + elapsed_us) % (7 * DAY)
    }
}

/// Whether a window that may begin on its day covers this time of the week.
fn is_inside(windows: &[Window], days: &[bool; 7], week_us: u64) -> bool {
    let (day, time) = (week_us / DAY, week_us % DAY);
    let begins_on = |day: u64| days[(day % 7) as usize];
    windows.iter().any(|window| {
        let (from, to) = (window.from.as_micros() as u64, window.to.as_micros() as u64);
        if from < to {
            begins_on(day) && (from..to).contains(&time)
        } else {
            // Past midnight: this evening's window, or the rest of last night's.
            (begins_on(day) && time >= from) || (begins_on(day + 6) && time < to)
        }
    })
}

/// The first time after `elapsed` at which the condition is the other way round than `inside`, in
/// microseconds since time zero; `None` when it never is.
fn next_edge(
    windows: &[Window],
    days: &[bool; 7],
    beat: &Beat<'_>,
    elapsed: u64,
    inside: bool,
) -> Option<u64> {
    let week = beat.week_us(elapsed);
    let midnight = week - week % DAY;
    let mut edges: Vec<u64> = (0..=8)
        .flat_map(|day| windows.iter().map(move |window| (day, window)))
        .flat_map(|(day, window)| {
            [window.from, window.to].map(|edge| midnight + day * DAY + edge.as_micros() as u64)
        })
        .filter(|edge| *edge > week)
        .collect();
    edges.sort_unstable();
    edges
        .into_iter()
        .find(|edge| is_inside(windows, days, edge % (7 * DAY)) != inside)
        .map(|edge| elapsed + (edge - week))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000_000;
    const WEEKDAYS: [bool; 7] = [true, true, true, true, true, false, false];

    const fn hours(from: u64, to: u64) -> Window {
        Window {
            from: Duration::from_secs(from * 3600),
            to: Duration::from_secs(to * 3600),
        }
    }

    #[test]
    fn a_window_holds_on_its_days_only() {
        let school = [hours(8, 15)];
        assert!(is_inside(&school, &WEEKDAYS, 8 * HOUR));
        assert!(!is_inside(&school, &WEEKDAYS, 15 * HOUR));
        assert!(!is_inside(&school, &WEEKDAYS, 5 * DAY + 9 * HOUR));
    }

    #[test]
    fn a_window_past_midnight_belongs_to_the_day_it_begins_on() {
        let night = [hours(22, 7)];
        assert!(is_inside(&night, &WEEKDAYS, 4 * DAY + 23 * HOUR));
        assert!(is_inside(&night, &WEEKDAYS, 5 * DAY + 6 * HOUR));
        assert!(!is_inside(&night, &WEEKDAYS, 5 * DAY + 23 * HOUR));
        assert!(
            !is_inside(&night, &WEEKDAYS, 6 * HOUR),
            "Sunday night has no window"
        );
    }
}
