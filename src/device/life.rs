//! What a device is in, and how that changes: by rhythms, by events of the timeline, by booting
//! and unlocking.
//!
//! A condition an event has entered is held until an event ends it; a rhythm goes on from there.
//! What a condition does is asked here too: whether a push arrives ([`Life::hears`]) and whether the
//! device can talk.

use std::time::Duration;

use super::environment::Environment;
use super::rhythm::{Beat, Course, SHORTEST_STRETCH};
use super::traits::{Platform, Traits};
use crate::condition::{Condition, Conditions, Holds};
use crate::device::contract::Urgency;
use crate::ids::DeviceId;
use crate::seed::Purpose;
use crate::time::SimTime;

/// A device's conditions. One without rhythms owns nothing on the heap.
#[derive(Debug)]
pub(super) struct Life {
    /// Time zero; [`SimTime::NEVER`] before it.
    zero: SimTime,
    /// By rhythm, from the beginning, or since the last boot.
    inside: Conditions,
    /// By an event.
    held: Conditions,
    /// Restarts so far: numbers the draws.
    boots: u32,
    /// When a restart is over; [`SimTime::NEVER`] without one.
    boots_at: SimTime,
    /// It has no passcode yet when it has booted.
    is_bare: bool,
    /// When a NAT forgets the push connection, or when the device finds out.
    nat_at: SimTime,
    nat_turns: u32,
    /// One for each rhythm of the cohort, in its order.
    courses: Box<[Course]>,
}

/// Nothing arrives and nothing leaves.
const CUT_OFF: Conditions = Conditions::of(&[Condition::Gone, Condition::Off, Condition::Offline]);

/// The agent does not run.
const HELD_BACK: Conditions = Conditions::of(&[Condition::Throttled, Condition::AgentStopped]);

/// Whose device it is and what it shares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Of<'a> {
    pub(super) env: &'a Environment,
    pub(super) traits: &'a Traits,
    pub(super) device: DeviceId,
}

impl Life {
    /// Awake, online and unlocked, before time zero.
    pub(super) fn new() -> Self {
        Self {
            zero: SimTime::NEVER,
            inside: Conditions::NONE,
            held: Conditions::NONE,
            boots: 0,
            boots_at: SimTime::NEVER,
            is_bare: false,
            nat_at: SimTime::NEVER,
            nat_turns: 0,
            courses: Box::default(),
        }
    }

    /// All that holds: by rhythm and event, and what follows from it.
    pub(super) fn conditions(&self, traits: &Traits) -> Conditions {
        let mut all = self.inside.and(self.held);
        if !traits.passcode {
            all = all.without(Conditions::of(&[
                Condition::Locked,
                Condition::BeforeFirstUnlock,
            ]));
        } else if all.has(Condition::Asleep) && traits.platform != Platform::Mac {
            // A screen that goes off locks a device that has a passcode.
            all = all.with(Condition::Locked, Holds::Yes);
        }
        let silent = traits.offline_before_first_unlock && all.has(Condition::BeforeFirstUnlock);
        if silent {
            all = all.with(Condition::Offline, Holds::Yes);
        }
        if !all.has(Condition::Asleep) {
            all = all.with(Condition::DarkWake, Holds::No);
        }
        all
    }

    /// Whether the device has no network.
    pub(super) fn is_cut_off(&self, traits: &Traits) -> bool {
        self.conditions(traits).has_any(CUT_OFF)
    }

    /// Whether its management agent does not run.
    pub(super) fn is_held_back(&self, traits: &Traits) -> bool {
        self.conditions(traits).has_any(HELD_BACK)
    }

    /// Whether it does by itself what it has planned: on the network, and awake or as good as.
    pub(super) fn is_up(&self, traits: &Traits) -> bool {
        let now = self.conditions(traits);
        let dozes = now.has(Condition::Asleep)
            && !now.has(Condition::DarkWake)
            && traits.woken_by_push.is_none();
        !now.has_any(CUT_OFF) && !dozes
    }

    /// Whether a push reaches the device. Whether its agent runs does not matter for that.
    pub(super) fn hears(&self, traits: &Traits, urgency: Urgency) -> bool {
        let now = self.conditions(traits);
        let blocked = now.has(Condition::PushBlocked) && !traits.push_link.fallback_443;
        let saves = now.has(Condition::LowPower) && urgency != Urgency::Immediate;
        self.is_up(traits) && !blocked && !now.has(Condition::PushDeaf) && !saves
    }

    /// When something changes by itself next.
    pub(super) fn next(&self) -> SimTime {
        let courses = self.courses.iter().map(|course| course.next);
        courses
            .chain([self.boots_at, self.nat_at])
            .min()
            .unwrap_or(SimTime::NEVER)
    }

    /// Time zero: rhythms begin, and what holds from the beginning holds.
    pub(super) fn begin(&mut self, of: &Of<'_>, now: SimTime) {
        self.zero = now;
        let mut courses = vec![Course::IDLE; of.traits.rhythms.len()].into_boxed_slice();
        for (course, at) in courses.iter_mut().zip(0..) {
            let beat = self.beat(of, at);
            let inside = course.begin(&beat);
            self.put(beat.condition, inside);
        }
        self.courses = courses;
        for (number, begins) in of.traits.begins.iter().enumerate() {
            let subject = u64::from(of.device.0);
            let mut die = of.env.seed.draw(Purpose::Begins, subject, number as u64, 0);
            if die.chance(begins.share) {
                self.inside = self.inside.with(begins.condition, Holds::Yes);
            }
        }
        if let Some(nat) = &of.traits.push_link.nat {
            // Each device's last packet was some time ago.
            let subject = u64::from(of.device.0);
            let mut die = of.env.seed.draw(Purpose::Rhythm, subject, 0, NAT);
            self.nat_at = now + of.env.scaled(nat.timeout).mul_f64(die.unit());
        }
    }

    /// What was planned for the earliest time, which has come.
    pub(super) fn tick(&mut self, of: &Of<'_>, due: SimTime) {
        if self.boots_at == due {
            self.boots_at = SimTime::NEVER;
            self.held = self.held.with(Condition::Off, Holds::No);
            self.boot(of, due);
        } else if self.nat_at == due {
            self.turn_nat(of, due);
        } else if let Some(at) = self.courses.iter().position(|course| course.next == due) {
            let condition = of.traits.rhythms[at].condition;
            let inside = !self.inside.has(condition);
            let mut course = self.courses[at];
            course.turn(&self.beat(of, at), due, inside);
            self.courses[at] = course;
            self.changed(of, due, condition, inside);
        }
    }

    /// An event enters a condition.
    pub(super) fn enter(&mut self, of: &Of<'_>, condition: Condition) {
        self.held = self.held.with(condition, Holds::Yes);
        if condition == Condition::Off {
            // Who switches it off in the middle of a restart wants it off.
            self.boots_at = SimTime::NEVER;
        }
        if let Some(at) = rhythm_of(of, condition)
            && let Some(course) = self.courses.get_mut(at)
        {
            course.hold();
        }
    }

    /// An event ends a condition; its rhythm goes on from here.
    pub(super) fn leave(&mut self, of: &Of<'_>, now: SimTime, condition: Condition) {
        if condition == Condition::Gone {
            return;
        }
        let held = self.inside.and(self.held).has(condition);
        self.held = self.held.with(condition, Holds::No);
        if condition == Condition::Off {
            self.boots_at = SimTime::NEVER;
        }
        if let Some(at) = rhythm_of(of, condition)
            && let Some(mut course) = self.courses.get(at).copied()
        {
            course.restart(&self.beat(of, at), now, false);
            self.courses[at] = course;
        }
        if condition == Condition::PushDeaf {
            self.hear(of, now);
        }
        if held {
            self.changed(of, now, condition, false);
        }
    }

    /// A restart: off for as long as a boot takes.
    pub(super) fn reboot(&mut self, of: &Of<'_>, now: SimTime) {
        let subject = u64::from(of.device.0);
        let mut die = of
            .env
            .seed
            .draw(Purpose::Boot, subject, u64::from(self.boots), 0);
        self.restart(of, now, die.span(&of.traits.boot));
    }

    /// An update before it is set up: off for `span` of scenario time, and no passcode afterwards.
    pub(super) fn update(&mut self, of: &Of<'_>, now: SimTime, span: Duration) {
        self.is_bare = true;
        self.restart(of, now, span);
    }

    /// Off for `span` of scenario time, then as after any boot.
    fn restart(&mut self, of: &Of<'_>, now: SimTime, span: Duration) {
        if self.inside.and(self.held).has(Condition::Off) {
            return;
        }
        let span = of.env.scaled(span);
        self.held = self.held.with(Condition::Off, Holds::Yes);
        self.boots_at = now + span.max(SHORTEST_STRETCH);
    }

    /// A packet went over the push connection: a NAT remembers it anew.
    pub(super) fn hear(&mut self, of: &Of<'_>, now: SimTime) {
        if let (Some(nat), false) = (&of.traits.push_link.nat, self.zero == SimTime::NEVER) {
            self.inside = self.inside.with(Condition::PushDeaf, Holds::No);
            self.nat_at = now + of.env.scaled(nat.timeout).max(SHORTEST_STRETCH);
        }
    }

    // ---- within --------------------------------------------------------------------------

    /// What follows from a condition that begins or ends.
    fn changed(&mut self, of: &Of<'_>, now: SimTime, condition: Condition, inside: bool) {
        self.put(condition, inside);
        match (condition, inside) {
            (Condition::Off, false) => self.boot(of, now),
            // Back on the network it opens a push connection anew, which every NAT remembers.
            (Condition::Offline, false) => self.hear(of, now),
            (Condition::Locked, false) => {
                self.put(Condition::BeforeFirstUnlock, false);
            }
            (Condition::BeforeFirstUnlock, false) => self.put(Condition::Locked, false),
            _ => {}
        }
    }

    /// The device has just started: nobody has unlocked it, and no connection is remembered.
    fn boot(&mut self, of: &Of<'_>, now: SimTime) {
        self.boots += 1;
        // Its agent has started anew, whatever stopped it.
        self.leave(of, now, Condition::AgentStopped);
        self.leave(of, now, Condition::Throttled);
        self.hear(of, now);
        let is_ios_like = matches!(of.traits.platform, Platform::Ipad | Platform::Iphone);
        let is_bare = std::mem::take(&mut self.is_bare);
        if !of.traits.passcode || !is_ios_like || is_bare {
            return;
        }
        self.put(Condition::BeforeFirstUnlock, true);
        self.put(Condition::Locked, true);
        if let Some(at) = rhythm_of(of, Condition::Locked)
            && let Some(mut course) = self.courses.get(at).copied()
        {
            course.restart(&self.beat(of, at), now, true);
            self.courses[at] = course;
        }
    }

    /// A NAT forgets the connection, or the device finds out by its keep-alive and connects anew.
    fn turn_nat(&mut self, of: &Of<'_>, now: SimTime) {
        let Some(nat) = &of.traits.push_link.nat else {
            self.nat_at = SimTime::NEVER;
            return;
        };
        if self.inside.has(Condition::PushDeaf) {
            return self.hear(of, now);
        }
        self.nat_turns += 1;
        let subject = u64::from(of.device.0);
        let turn = u64::from(self.nat_turns);
        let mut die = of.env.seed.draw(Purpose::Rhythm, subject, turn, NAT);
        let keep_alive = die.span(&nat.keep_alive);
        match keep_alive.checked_sub(nat.timeout) {
            Some(deaf) if !deaf.is_zero() => {
                self.put(Condition::PushDeaf, true);
                self.nat_at = now + of.env.scaled(deaf).max(SHORTEST_STRETCH);
            }
            // The keep-alive comes before the NAT forgets.
            Some(_) | None => self.hear(of, now),
        }
    }

    fn put(&mut self, condition: Condition, inside: bool) {
        let holds = if inside { Holds::Yes } else { Holds::No };
        self.inside = self.inside.with(condition, holds);
    }

    fn beat<'a>(&self, of: &Of<'a>, at: usize) -> Beat<'a> {
        let rhythm = &of.traits.rhythms[at];
        let local = of.env.starts.as_secs() as i64 + i64::from(of.traits.utc_offset_seconds);
        Beat {
            env: of.env,
            device: of.device,
            condition: rhythm.condition,
            shape: &rhythm.shape,
            zero: self.zero,
            starts: Duration::from_secs(local.rem_euclid(WEEK_SECONDS) as u64),
        }
    }
}

const WEEK_SECONDS: i64 = 7 * 24 * 3600;

/// Tells a NAT's draws from those of conditions, which are numbered from zero.
const NAT: u32 = u32::MAX;

fn rhythm_of(of: &Of<'_>, condition: Condition) -> Option<usize> {
    let rhythms = &of.traits.rhythms;
    rhythms
        .iter()
        .position(|rhythm| rhythm.condition == condition)
}
