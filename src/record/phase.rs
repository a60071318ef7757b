//! The partition of one command's life into phases, each with an owner (design section 6).
//!
//! A `Fold` moves one cursor over the channel's log. Between two moments everything is constant,
//! so the slice between them has one phase and one owner, and the slices of a command add up to
//! its life by construction. A fold can stop anywhere and go on later.

mod present;

use std::time::Duration;

use crate::ids::PushId;
use crate::metric::Owner;
use crate::time::SimTime;

use super::log::{Answer, CommandId, Entry, Moment, Request, Says};
use super::slices::{Packed, Slices};
use super::turn::{Holder, Turn};

/// When the operator's steps of a command were; a step that has not come is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) offered: Option<SimTime>,
    pub(super) accepted: Option<SimTime>,
}

/// How far a push of a command got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Push {
    /// None is under way: none came, or what came brought the device here for nothing.
    Absent,
    /// APNs has it.
    Taken,
    /// APNs answered with 200 and lost it.
    Lost,
    /// The device has it since then.
    Delivered(SimTime),
}

/// How far the command itself got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The device does not have it. `retry` says whose fault it is that the last request failed.
    Waiting { retry: Option<Owner> },
    /// The device works on it.
    Executing,
    /// Its answer should be ready, and our timer has not fired.
    ExecutedLate,
    /// Its answer is ready.
    Ready,
    /// Its answer could not be delivered.
    Undelivered(Owner),
    /// It was refused, and the reason holds.
    Deferred,
    /// The reason should be over, and our timer has not fired.
    DeferredLate,
    /// The reason is over; the device polls by itself and has not said Idle yet.
    ReturnByDevice,
    /// The reason is over; the target has to offer it again.
    ReturnByTarget(Return),
}

/// A refused command's wait for the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Return {
    /// Since when the next move is the target's.
    since: SimTime,
    /// When the device was last told that there was nothing for it.
    withheld: Option<SimTime>,
}

impl Return {
    const fn since(since: SimTime) -> Self {
        Self {
            since,
            withheld: None,
        }
    }
}

/// So long after a NotNow a server has taken it in, and offers the command to whoever asks. As long
/// as findings wait by default.
const SETTLE: Duration = Duration::from_secs(5);

/// One command's life as far as the cursor. One that is put away has its slices packed: they are most of
/// it, and commands may wait by the ten thousand.
#[derive(Clone, Debug)]
pub(super) struct Fold<S = Slices> {
    command: CommandId,
    cursor: SimTime,
    turn: Turn,
    offered: Option<SimTime>,
    accepted: Option<SimTime>,
    push: Push,
    step: Step,
    fetched: bool,
    /// When an empty answer was read to a device that had asked after the acceptance.
    passed_over: Option<SimTime>,
    /// When an empty answer was read to a device that had its push.
    came_for_nothing: Option<SimTime>,
    /// When the device last refused it.
    refused: Option<SimTime>,
    /// The first push and when its headers were read.
    first_push: Option<(PushId, SimTime)>,
    last_push: Option<SimTime>,
    /// Fetched before any push.
    unpushed: bool,
    slices: S,
    observed: bool,
}

impl<S> Fold<S> {
    /// The same with its slices in another form.
    fn with<T>(&self, slices: T) -> Fold<T> {
        Fold {
            command: self.command,
            cursor: self.cursor,
            turn: self.turn,
            offered: self.offered,
            accepted: self.accepted,
            push: self.push,
            step: self.step,
            fetched: self.fetched,
            passed_over: self.passed_over,
            came_for_nothing: self.came_for_nothing,
            refused: self.refused,
            first_push: self.first_push,
            last_push: self.last_push,
            unpushed: self.unpushed,
            slices,
            observed: self.observed,
        }
    }
}

impl Fold<Packed> {
    /// Takes it out again.
    pub(super) fn unpack(&self) -> Fold {
        self.with(Slices::unpack(&self.slices))
    }
}

impl Fold {
    /// Puts it away.
    pub(super) fn pack(&self) -> Fold<Packed> {
        self.with(self.slices.pack())
    }

    /// The life of `command` from `due` on, on a channel whose turn was `turn` before the first
    /// entry that [`Fold::run`] will get.
    pub(super) fn new(command: CommandId, due: SimTime, turn: Turn, observed: bool) -> Self {
        Self {
            command,
            cursor: due,
            turn,
            offered: None,
            accepted: None,
            push: Push::Absent,
            step: Step::Waiting { retry: None },
            fetched: false,
            passed_over: None,
            came_for_nothing: None,
            refused: None,
            first_push: None,
            last_push: None,
            unpushed: false,
            slices: Slices::default(),
            observed,
        }
    }

    /// Goes through `entries` and the operator's `marks` up to `until`, inclusive, and leaves the
    /// cursor there. On a tie the operator comes first: a push belongs to an offer of its instant.
    pub(super) fn run(&mut self, entries: &[Entry], marks: Marks, until: SimTime) {
        for entry in entries.iter().take_while(|entry| entry.at <= until) {
            self.pass_marks(marks, entry.at);
            self.move_to(entry.at);
            self.apply(entry.moment, entry.at);
        }
        self.pass_marks(marks, until);
        self.move_to(until);
    }

    /// The slices so far.
    pub(super) const fn slices(&self) -> &Slices {
        &self.slices
    }

    /// When the first and the last push of the command were at the gateway; `None` when it had
    /// none, or was fetched before it.
    pub(super) fn pushes(&self) -> Option<(SimTime, SimTime)> {
        let (_, first) = self.first_push.filter(|_| !self.unpushed)?;
        Some((first, self.last_push.unwrap_or(first)))
    }

    /// Whether any push came while it was open, and whether the device ever had the command.
    pub(super) const fn was_pushed(&self) -> bool {
        self.first_push.is_some()
    }

    /// Whether the device has had the command, and has not let it go.
    pub(super) const fn was_fetched(&self) -> bool {
        self.fetched && !matches!(self.step, Step::Waiting { .. })
    }

    /// Whether a push came after the target had to offer a refused command again, and has not yet
    /// brought the device here for nothing.
    pub(super) fn is_pushed_again(&self) -> bool {
        self.returns_by_target().is_some_and(|wait| {
            self.push != Push::Absent && self.last_push.is_some_and(|last| last >= wait.since)
        })
    }

    /// When the device, whose reason for a NotNow was over, asked and was told that there was
    /// nothing for it.
    pub(super) fn withheld(&self) -> Option<SimTime> {
        self.returns_by_target()?.withheld
    }

    const fn returns_by_target(&self) -> Option<Return> {
        match self.step {
            Step::ReturnByTarget(wait) => Some(wait),
            Step::Waiting { .. }
            | Step::Executing
            | Step::ExecutedLate
            | Step::Ready
            | Step::Undelivered(_)
            | Step::Deferred
            | Step::DeferredLate
            | Step::ReturnByDevice => None,
        }
    }

    /// Whether its channel's session is on.
    pub(super) fn is_in_session(&self) -> bool {
        self.turn.holder != Holder::Nobody
    }

    /// How far its last push got.
    pub(super) const fn push(&self) -> Push {
        self.push
    }

    /// When the device last asked for work and got none, although the target had this command and
    /// had never sent it.
    pub(super) fn passed_over(&self) -> Option<SimTime> {
        self.passed_over.filter(|_| !self.was_fetched())
    }

    /// When the device, which had a push for this command, was last told that there was nothing for
    /// it.
    pub(super) fn came_for_nothing(&self) -> Option<SimTime> {
        self.came_for_nothing.filter(|_| !self.was_fetched())
    }

    /// Whether the device has its result, and could not deliver it.
    pub(super) const fn is_undelivered(&self) -> bool {
        matches!(self.step, Step::Undelivered(_))
    }

    /// Whether it was refused and not offered again.
    pub(super) const fn is_refused(&self) -> bool {
        matches!(
            self.step,
            Step::Deferred | Step::DeferredLate | Step::ReturnByDevice | Step::ReturnByTarget(_)
        )
    }

    fn pass_marks(&mut self, marks: Marks, until: SimTime) {
        if let Some(at) = marks.offered.filter(|at| *at <= until)
            && self.offered.is_none()
        {
            self.move_to(at);
            self.offered = Some(at);
        }
        if let Some(at) = marks.accepted.filter(|at| *at <= until)
            && self.accepted.is_none()
        {
            self.move_to(at);
            self.accepted = Some(at);
            if self.first_push.is_some() && !self.observed {
                self.slices.dispatch_was_instant();
            }
        }
    }

    fn move_to(&mut self, at: SimTime) {
        if at > self.cursor {
            let (phase, owner) = self.present();
            let slice = at.as_micros() - self.cursor.as_micros();
            self.slices.add(phase, owner, slice);
            self.cursor = at;
        }
    }

    fn apply(&mut self, moment: Moment, at: SimTime) {
        self.turn.step(moment);
        match moment {
            Moment::PushArrived(id) => self.take_push(id, at),
            Moment::PushDelivered(id) => self.deliver_push(id, at),
            Moment::PushIgnored(id) | Moment::PushDiscarded(id) => self.push_gone(id, Push::Absent),
            Moment::PushLost(id) => self.push_gone(id, Push::Lost),
            Moment::Woke | Moment::Asked(_) => self.forget_failure(),
            Moment::Sent(request) => self.send(request, at),
            Moment::Read(request) => self.read(request),
            Moment::Seen(request) => self.see(request),
            Moment::ExecutedDue(of) if of == self.command => self.ready_due(),
            Moment::Executed(of) if of == self.command => self.ready(),
            Moment::DeferralDue(of) if of == self.command => self.deferral_due(),
            Moment::DeferralEnded(of, polls) if of == self.command => {
                self.end_deferral(polls, at);
            }
            Moment::PushDue
            | Moment::WakeDue
            | Moment::Permitted(_)
            | Moment::ExecutedDue(_)
            | Moment::Executed(_)
            | Moment::DeferralDue(_)
            | Moment::DeferralEnded(..)
            | Moment::SessionEnded => {}
        }
    }

    fn take_push(&mut self, id: PushId, at: SimTime) {
        if self.offered.is_none_or(|offered| at < offered) {
            return;
        }
        self.first_push.get_or_insert((id, at));
        self.last_push = Some(at);
        match self.push {
            Push::Absent | Push::Lost => self.push = Push::Taken,
            Push::Taken | Push::Delivered(_) => {}
        }
    }

    /// Pushes are numbered in the order of arrival, so one that stands for a coalesced push of
    /// this command has a higher number than it.
    fn is_mine(&self, id: PushId) -> bool {
        self.first_push.is_some_and(|(first, _)| id >= first)
    }

    fn deliver_push(&mut self, id: PushId, at: SimTime) {
        if self.is_mine(id) {
            self.push = Push::Delivered(at);
        }
    }

    fn push_gone(&mut self, id: PushId, leaves: Push) {
        if self.is_mine(id) {
            self.push = leaves;
        }
    }

    fn forget_failure(&mut self) {
        if let Step::Waiting { retry } = &mut self.step {
            *retry = None;
        }
    }

    fn send(&mut self, request: Request, at: SimTime) {
        if request.brings(self.command) && !self.fetched {
            self.fetched = true;
            self.passed_over = None;
            self.unpushed = self.first_push.is_none();
        }
        if request.carries_not_now(self.command) {
            self.step = Step::Deferred;
            self.refused = Some(at);
        } else if request.says == Says::Idle && self.step == Step::ReturnByDevice {
            self.step = Step::ReturnByTarget(Return::since(at));
        } else if request.says == Says::Idle && self.step == Step::Executing {
            // Whoever works on a command does not ask for another: the device has let it go, for
            // example because it sent the result before it twice and took the second answer.
            self.step = Step::Waiting { retry: None };
        }
    }

    fn read(&mut self, request: Request) {
        if let Answer::Failed(owner) = request.answer {
            if request.carries_result(self.command) {
                self.step = Step::Undelivered(owner);
            } else if let Step::Waiting { retry } = &mut self.step {
                *retry = Some(owner);
            }
        } else if request.ends_session() {
            // The device came because of the push and got nothing: the next move is the target's.
            // A push that came while the request was under way still brings the device back.
            match self.push {
                Push::Delivered(since) if since <= request.sent => {
                    self.push = Push::Absent;
                    self.came_for_nothing = Some(self.cursor);
                }
                Push::Lost => self.push = Push::Absent,
                Push::Delivered(_) | Push::Taken | Push::Absent => {}
            }
            if self
                .accepted
                .is_some_and(|accepted| accepted <= request.sent)
            {
                self.passed_over = Some(self.cursor);
            }
            self.withhold(request);
        }
    }

    /// A session ended with the empty answer. Only one in which the device asked and got nothing at
    /// all says that the target keeps a refused command back.
    fn withhold(&mut self, request: Request) {
        let has_settled = self
            .refused
            .is_some_and(|refused| request.sent >= refused + SETTLE);
        if let Step::ReturnByTarget(wait) = &mut self.step
            && has_settled
            && request.says == Says::Idle
            && request.sent >= wait.since
        {
            wait.withheld = Some(self.cursor);
        }
    }

    fn see(&mut self, request: Request) {
        if !request.brings(self.command) {
            return;
        }
        match self.step {
            Step::Waiting { .. }
            | Step::Executing
            | Step::ExecutedLate
            | Step::Ready
            | Step::ReturnByDevice
            | Step::ReturnByTarget(_) => self.step = Step::Executing,
            // Offered again while the reason holds, or while its result is still to be delivered.
            Step::Deferred | Step::DeferredLate | Step::Undelivered(_) => {}
        }
    }

    fn ready_due(&mut self) {
        if matches!(self.step, Step::Executing | Step::Deferred) {
            self.step = Step::ExecutedLate;
        }
    }

    fn ready(&mut self) {
        if matches!(self.step, Step::Executing | Step::ExecutedLate) {
            self.step = Step::Ready;
        }
    }

    fn deferral_due(&mut self) {
        if self.step == Step::Deferred {
            self.step = Step::DeferredLate;
        }
    }

    fn end_deferral(&mut self, polls: bool, at: SimTime) {
        if matches!(self.step, Step::Deferred | Step::DeferredLate) {
            self.step = if polls {
                Step::ReturnByDevice
            } else {
                Step::ReturnByTarget(Return::since(at))
            };
        }
    }
}
