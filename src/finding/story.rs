//! What a channel was told and answered, as far back as an open command needs it.
//!
//! A channel without open commands is a row of a few times: everything else is in [`Busy`], which
//! goes with the last command.

use std::collections::{BTreeMap, VecDeque};

use crate::ids::{OrderIndex, PushId};
use crate::time::SimTime;

use super::event::{Exchange, Name, OwnPush, Push, Withdrawal};
use super::few::Few;

/// One channel.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// The last TokenUpdate that was taken: when it was written, and its answer read.
    pub(super) told: Option<(SimTime, SimTime)>,
    /// APNs has called the token bad since then.
    pub(super) is_token_bad: bool,
    /// When the last answer without a command was read.
    pub(super) last_empty: SimTime,
    /// When the last Idle was sent that the target answered.
    pub(super) last_idle: SimTime,
    /// When the last Idle or result was sent that the target answered, with whatever.
    pub(super) last_heard: SimTime,
    /// When the last Idle or result was sent that got no whole answer.
    pub(super) last_lost: SimTime,
    /// The last push, and when it arrived.
    pub(super) last_push: Option<(PushId, SimTime)>,
    /// When the operator last did something to its queue.
    pub(super) last_order: SimTime,
    /// Pushes for nothing.
    pub(super) blanks: u32,
    /// Pushes that orders account for and that have not come yet.
    pub(super) credit: u32,
    /// Since when pushes beyond that are counted, and how many there were.
    pub(super) surplus: (SimTime, u32),
    /// What is open.
    pub(super) busy: Option<Box<Busy>>,
}

/// What is kept of a channel while commands are open.
#[derive(Debug, Default)]
pub(super) struct Busy {
    /// Commands without a final result that a 2xx has taken.
    pub(super) open: Few<Name, Command>,
    /// Accepted orders that were never delivered, by when they were accepted.
    pub(super) waiting: Few<(SimTime, OrderIndex)>,
    /// Orders that were never delivered nor denied, and that no device was pushed for too early, by when
    /// they were offered.
    pub(super) hoped_for: Few<(SimTime, OrderIndex)>,
    /// Accepted orders that the target has denied.
    pub(super) missing: Few<OrderIndex>,
    /// Commands that the device has, and that are without a final result.
    pub(super) held: Few<Name>,
    /// Refused commands that were not offered again.
    pub(super) refused: Few<Name>,
    /// The last delivered command, while no status of it was sent.
    pub(super) unanswered: Option<Name>,
    /// The last pushes.
    pub(super) pushes: VecDeque<SimTime>,
    /// The last requests of the operator that were accepted: when each was offered and accepted.
    pub(super) requests: VecDeque<(SimTime, SimTime)>,
    /// The session under way.
    pub(super) session: Session,
    /// The command that sessions begin with.
    pub(super) head: Option<Head>,
    /// Commands that were pushed for too early, until that is certain.
    pub(super) early: Vec<Early>,
}

/// How many pushes of a channel are remembered, and how many requests.
const PUSHES_KEPT: usize = 16;

/// How many commands that nobody ordered are kept open on a channel.
const FOREIGN_MAX: usize = 256;

/// Whether the target has to keep what it takes: between two enrolments of a device it need not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    Holds,
    Void,
}

/// A session, from the first request on.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// When its Idle was sent.
    pub(super) idle: Option<SimTime>,
    /// The command it began with: that which answered its Idle, or whose kept result it brought.
    pub(super) first: Option<Name>,
    /// Whether the target answered a final status of that.
    pub(super) is_answered: bool,
    /// Whether there was a request.
    pub(super) has_begun: bool,
    /// What was refused in it, and how often it came again at once.
    pub(super) refused: BTreeMap<Name, u32>,
}

/// The command that sessions begin with, again and again.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) name: Name,
    pub(super) sessions: u32,
    /// When the last of them ended.
    pub(super) last: VecDeque<SimTime>,
    pub(super) is_told: bool,
}

/// A command that the device was pushed for before it could be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Early {
    pub(super) order: OrderIndex,
    pub(super) look: Look,
    /// When it came after all.
    pub(super) delivered: SimTime,
    pub(super) offered: SimTime,
    pub(super) accepted: Option<SimTime>,
    pub(super) is_off: bool,
}

impl Early {
    /// When it had both come and been accepted, as far as is known.
    pub(super) fn complete(&self) -> SimTime {
        self.accepted.unwrap_or(self.delivered).max(self.delivered)
    }
}

/// A push, and the Idle after it that was answered with nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) push: SimTime,
    pub(super) sent: SimTime,
    pub(super) read: SimTime,
}

/// One command.
#[derive(Debug, Default)]
pub(super) struct Command {
    pub(super) offered: Option<SimTime>,
    pub(super) accepted: Option<SimTime>,
    /// The target has said that its push failed.
    pub(super) push_failed: bool,
    /// The target may have forgotten it, and may be right: enrolled anew, left, or taken back.
    pub(super) is_void: bool,
    /// When the enrolment began, by the answer to Authenticate, that it is too old for.
    pub(super) stale_since: Option<SimTime>,
    /// When the renewal was taken that it was ordered right after.
    pub(super) renewed: Option<SimTime>,
    /// When the answers that brought it were read.
    pub(super) first: Option<SimTime>,
    pub(super) last: Option<SimTime>,
    /// Whether a final status was sent, delivered or not.
    pub(super) was_answered: bool,
    pub(super) refusal: Option<Refusal>,
    /// The Idle that was answered with nothing although it was accepted: sent and read.
    pub(super) denied: Option<(SimTime, SimTime)>,
    pub(super) early: Option<Look>,
    /// A newer order that came before it: which, when it was offered, and when it came.
    pub(super) overtaken: Option<(OrderIndex, SimTime, SimTime)>,
    /// The target did not name it when it was asked: when that was, and its answer.
    pub(super) absent: Option<(SimTime, SimTime)>,
}

// What the only open command of a channel costs, and each one of several; docs/findings.md says it.
const _: () = assert!(size_of::<Busy>() <= 704 && size_of::<Command>() <= 320);

/// A NotNow that the target has taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) at: SimTime,
    /// When its reason was over.
    pub(super) over: Option<SimTime>,
    /// Newer commands that were served since.
    pub(super) overtaken: u32,
    /// Sessions since in which it was not offered.
    pub(super) sessions: u32,
    /// The last of these began.
    pub(super) last_session: SimTime,
    pub(super) is_told: bool,
}

impl Story {
    pub(super) fn busy(&mut self) -> &mut Busy {
        self.busy.get_or_insert_with(Box::default)
    }

    pub(super) fn command(&self, name: &Name) -> Option<&Command> {
        self.busy.as_ref()?.open.get(name)
    }

    pub(super) fn command_mut(&mut self, name: &Name) -> Option<&mut Command> {
        self.busy.as_mut()?.open.get_mut(name)
    }

    /// Gives the room back when nothing is open.
    pub(super) fn tidy(&mut self) {
        let is_idle = self
            .busy
            .as_ref()
            .is_some_and(|busy| busy.open.is_empty() && busy.early.is_empty());
        if is_idle {
            self.busy = None;
        }
    }

    pub(super) fn offered(&mut self, order: OrderIndex, at: SimTime, promise: Promise) {
        self.last_order = at;
        self.credit = self.credit.saturating_add(1);
        let busy = self.busy();
        let name = Name::Order(order);
        let command = busy.open.of(name.clone());
        let offered = *command.offered.get_or_insert(at);
        command.is_void |= promise == Promise::Void;
        if command.is_void {
            busy.let_go(&name);
        } else if command.first.is_none() {
            busy.hoped_for.add((offered, order));
        }
    }

    pub(super) fn accepted(&mut self, order: OrderIndex, at: SimTime, push: OwnPush) {
        let push_failed = push == OwnPush::Failed;
        self.last_order = at;
        let Some(busy) = self.busy.as_mut() else {
            return;
        };
        let mut offered = None;
        for early in &mut busy.early {
            if early.order == order {
                offered = Some(early.offered);
                early.accepted = Some(at);
                early.is_off |= push_failed;
            }
        }
        let open = busy.open.get(&Name::Order(order));
        if let Some(offered) = open.map_or(offered, |it| it.offered) {
            if busy.requests.len() == PUSHES_KEPT {
                busy.requests.pop_front();
            }
            busy.requests.push_back((offered, at));
        }
        let Some(command) = busy.open.get_mut(&Name::Order(order)) else {
            return;
        };
        command.push_failed |= push_failed;
        if command.accepted.is_none() {
            command.accepted = Some(at);
            if command.first.is_none() && !command.is_void {
                busy.waiting.add((at, order));
            }
        }
    }

    /// The target does not have it, or need not have it any more.
    pub(super) fn withdrawn(&mut self, order: OrderIndex, at: SimTime, how: Withdrawal) {
        self.last_order = at;
        let Some(busy) = self.busy.as_mut() else {
            return;
        };
        let name = Name::Order(order);
        busy.let_go(&name);
        match how {
            Withdrawal::Rejected => {
                busy.open.remove(&name);
            }
            Withdrawal::Cancelled => {
                if let Some(command) = busy.open.get_mut(&name) {
                    command.is_void = true;
                }
            }
        }
        self.tidy();
    }

    pub(super) fn pushed(&mut self, push: &Push) {
        if self.last_push.is_none_or(|(_, at)| at <= push.arrived) {
            self.last_push = Some((push.id, push.arrived));
        }
        self.is_token_bad |= push.calls_token_bad;
        if let Some(busy) = self.busy.as_mut() {
            if busy.pushes.len() == PUSHES_KEPT {
                busy.pushes.pop_front();
            }
            busy.pushes.push_back(push.arrived);
        }
    }

    /// The target may have forgotten everything that is open.
    pub(super) fn void(&mut self) {
        let Some(busy) = self.busy.as_mut() else {
            return;
        };
        for command in busy.open.values_mut() {
            command.is_void = true;
            command.denied = None;
            command.early = None;
        }
        busy.waiting.clear();
        busy.hoped_for.clear();
        busy.missing.clear();
        busy.held.clear();
        busy.refused.clear();
        busy.early.clear();
        busy.unanswered = None;
        busy.head = None;
    }

    /// A command came. What detectors have to say of it they have said before.
    pub(super) fn delivered(&mut self, name: &Name, exchange: &Exchange, promise: Promise) {
        let busy = self.busy();
        busy.let_go(name);
        if name.order().is_none() && busy.open.get(name).is_none() {
            busy.make_room();
        }
        let command = busy.open.of(name.clone());
        if command.first.is_none()
            && let (Some(look), Some(order)) = (command.early.take(), name.order())
        {
            busy.early.push(Early {
                order,
                look,
                delivered: exchange.read,
                offered: command.offered.unwrap_or(look.push),
                accepted: command.accepted,
                is_off: command.push_failed,
            });
        }
        command.is_void |= promise == Promise::Void;
        if !command.is_void {
            busy.held.add(name.clone());
        }
        command.first.get_or_insert(exchange.read);
        command.last = Some(exchange.read);
        command.was_answered = false;
        command.refusal = None;
        command.denied = None;
        command.absent = None;
        busy.unanswered = Some(name.clone());
    }

    /// The target has taken the final result of a command.
    pub(super) fn settled(&mut self, name: &Name) {
        if let Some(busy) = self.busy.as_mut() {
            busy.let_go(name);
            busy.open.remove(name);
        }
    }
}

impl Busy {
    /// Nothing is expected of a command any more.
    fn let_go(&mut self, name: &Name) {
        if let Some(order) = name.order() {
            self.missing.remove(&order);
            let command = self.open.get(name);
            if let Some(accepted) = command.and_then(|it| it.accepted) {
                self.waiting.remove(&(accepted, order));
            }
            if let Some(offered) = command.and_then(|it| it.offered) {
                self.hoped_for.remove(&(offered, order));
            }
        }
        self.held.remove(name);
        self.refused.remove(name);
    }

    /// Whether a command that the device has is without a final result: the target may hold others
    /// back until it has that.
    pub(super) fn holds_back(&self) -> bool {
        !self.held.is_empty()
    }

    /// The target has denied an order that it had accepted.
    pub(super) fn denied(&mut self, order: OrderIndex, sent: SimTime, read: SimTime) {
        if let Some(command) = self.open.get_mut(&Name::Order(order)) {
            command.denied = Some((sent, read));
            self.missing.add(order);
            if let Some(offered) = command.offered {
                self.hoped_for.remove(&(offered, order));
            }
        }
    }

    /// Forgets the oldest command that nobody ordered, when there are too many.
    fn make_room(&mut self) {
        let foreign = || {
            let from_the_end = self.open.iter().rev();
            from_the_end.take_while(|(name, _)| name.order().is_none())
        };
        if foreign().count() < FOREIGN_MAX {
            return;
        }
        let oldest = foreign().min_by_key(|(_, command)| command.first);
        if let Some(name) = oldest.map(|(name, _)| name.clone()) {
            self.let_go(&name);
            self.open.remove(&name);
            self.session.refused.remove(&name);
        }
    }
}
