//! Pushes: from the server to the gateway, through its faults and its doorkeeper to the device's shard,
//! and the gateway's answer back to the server.

use std::time::Duration;

use super::World;
use super::agenda::Event;
use crate::apns::admission::{Admitted, Incoming};
use crate::apns::fault::Fault;
use crate::apns::slot::Keep;
use crate::device::contract::Push;
use crate::fact::{FactKind, NoEntry, Unanswered};
use crate::ids::{Channel, OrderIndex, PushId, hex_lower};
use crate::protocol::push::{Reason, payload};
use crate::reference_server::{Answer, PushOrder, PushResult};
use crate::time::SimTime;

/// How long the server waits for an answer of APNs, as `engine`'s push client does.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A push on its way to the gateway.
#[derive(Debug)]
pub(super) struct PushFlight {
    order: PushOrder,
    number: u64,
    sent: SimTime,
    /// How often the connection had been reset before it was sent.
    resets: u32,
    /// The operator's request that is answered once this push is.
    answers: Option<(OrderIndex, Box<Answer>)>,
}

/// How a push went, on its way back to the server.
#[derive(Debug)]
pub(super) struct PushAnswer {
    flight: PushFlight,
    result: PushResult,
}

/// What the gateway does with a push.
#[derive(Debug)]
struct Verdict {
    result: PushResult,
    /// How much later than usual the answer is given.
    later: Duration,
}

impl World {
    /// The server sends a push.
    pub(super) fn send_push(
        &mut self,
        order: PushOrder,
        answers: Option<(OrderIndex, Box<Answer>)>,
    ) {
        let number = self.pushes_sent;
        self.pushes_sent += 1;
        let flight = PushFlight {
            order,
            number,
            sent: self.now,
            resets: self.gateway.resets,
            answers,
        };
        let there = self.now + self.network.push_latency(number, 0);
        let fails = if self.gateway.is_expired {
            self.note(FactKind::ProviderRefused {
                why: NoEntry::Certificate("the push certificate has expired".to_owned()),
            });
            Some("remote error: tls: expired certificate")
        } else if self.gateway.is_out {
            self.note(FactKind::ProviderRefused {
                why: NoEntry::Service,
            });
            Some("connecting to APNs: the connection was closed")
        } else {
            self.network.push_fails(number).then_some(WAS_RESET)
        };
        if let Some(why) = fails {
            self.push_fails(there, flight, why);
        } else {
            self.agenda.add(there, Event::Pushed(flight.into()));
        }
    }

    fn push_fails(&mut self, at: SimTime, flight: PushFlight, why: &str) {
        let why = why.to_owned();
        let result = PushResult::Failed { why };
        let answer = PushAnswer { flight, result };
        self.agenda.add(at, Event::PushAnswered(answer.into()));
    }

    /// A push reaches the gateway, unless the connection it was sent on is gone.
    pub(super) fn push_arrived(&mut self, flight: PushFlight) {
        let path = format!("/3/device/{}", hex_lower(&flight.order.token));
        let push = PushId(self.pushes_arrived);
        self.pushes_arrived += 1;
        let owner = self.admission.owner(&path);
        if flight.resets != self.gateway.resets {
            // It was sent before the reset: an outage that began with it refused providers later.
            self.note_unanswered(push, owner, flight.sent, Unanswered::Reset);
            return self.push_fails(self.now, flight, WAS_RESET);
        }
        let Verdict { result, later } = match self.gateway.faults.decide(push, owner) {
            Some(Fault::Answer { status, reason }) => {
                self.answer_unseen(push, owner, status, reason)
            }
            Some(Fault::Garble { status }) => self.answer_unseen(push, owner, status, None),
            Some(Fault::Hang) => {
                self.leave_unanswered(push, owner, Unanswered::Hang);
                Verdict::given(PushResult::Failed { why: no_answer() }, ANSWER_TIMEOUT)
            }
            Some(Fault::Reset) => {
                self.gateway.resets += 1;
                self.leave_unanswered(push, owner, Unanswered::Reset);
                let why = WAS_RESET.to_owned();
                Verdict::given(PushResult::Failed { why }, Duration::ZERO)
            }
            Some(Fault::GoAway(reason)) => {
                self.leave_unanswered(push, owner, Unanswered::GoAway);
                let name = reason.name();
                let why = format!("sending to APNs: the connection ended with GOAWAY, {name}");
                Verdict::given(PushResult::Failed { why }, Duration::ZERO)
            }
            fault @ (None
            | Some(
                Fault::Delay(_)
                | Fault::Drop
                | Fault::Duplicate(_)
                | Fault::Reorder(_)
                | Fault::Slow(_),
            )) => self.admit(push, &path, &flight.order, fault),
        };
        let usual = self.now + self.network.push_latency(flight.number, 1);
        let latest = (flight.sent + ANSWER_TIMEOUT).max(usual);
        let (back, result) = if usual + later > latest {
            (latest, PushResult::Failed { why: no_answer() })
        } else {
            (usual + later, result)
        };
        let answer = PushAnswer { flight, result };
        self.agenda.add(back, Event::PushAnswered(answer.into()));
    }

    /// A push is answered without being looked at.
    fn answer_unseen(
        &mut self,
        push: PushId,
        channel: Option<Channel>,
        status: u16,
        reason: Option<Reason>,
    ) -> Verdict {
        self.note(FactKind::PushReceived {
            push,
            channel,
            arrived: self.now,
            status,
            reason: reason.map(|reason| reason.name().to_owned()),
        });
        let result = match (status, reason) {
            (200, _) => {
                if let Some(channel) = channel {
                    self.note(FactKind::PushLost { push, channel });
                }
                let apns_id = String::new();
                PushResult::Accepted { apns_id }
            }
            (_, Some(reason)) => PushResult::Refused(reason),
            (_, None) => PushResult::Failed {
                why: format!("APNs answered {status} without a known reason"),
            },
        };
        Verdict::given(result, Duration::ZERO)
    }

    fn leave_unanswered(&mut self, push: PushId, channel: Option<Channel>, how: Unanswered) {
        self.note_unanswered(push, channel, self.now, how);
    }

    fn note_unanswered(
        &mut self,
        push: PushId,
        channel: Option<Channel>,
        arrived: SimTime,
        how: Unanswered,
    ) {
        self.note(FactKind::PushUnanswered {
            push,
            channel,
            arrived,
            how,
        });
    }

    /// The doorkeeper looks at a push: it is refused, or handed to its device's shard as far as a fault
    /// lets it.
    fn admit(
        &mut self,
        push: PushId,
        path: &str,
        order: &PushOrder,
        fault: Option<Fault>,
    ) -> Verdict {
        let arrived = self.now;
        let body = payload(&order.magic);
        let incoming = Incoming {
            method: "POST",
            path,
            authorization: None,
            topic: Some(&order.topic),
            id: None,
            expiration: None,
            priority: None,
            push_type: Some("mdm"),
            collapse_id: None,
            has_duplicates: false,
            payload: &body,
        };
        let admitted = self.admission.admit(arrived, &mut self.provider, &incoming);
        let (channel, status, reason) = match &admitted {
            Ok(admitted) => (Some(admitted.channel), 200, None),
            Err(refused) => {
                let reason = refused.refusal.reason;
                let name = reason.name().to_owned();
                (refused.channel, reason.status(), Some(name))
            }
        };
        self.note(FactKind::PushReceived {
            push,
            channel,
            arrived,
            status,
            reason,
        });
        match admitted {
            Ok(admitted) => {
                let later = self.let_in(push, admitted, fault);
                let apns_id = String::new();
                Verdict::given(PushResult::Accepted { apns_id }, later)
            }
            Err(refused) => {
                let result = PushResult::Refused(refused.refusal.reason);
                Verdict::given(result, Duration::ZERO)
            }
        }
    }

    /// Hands an accepted push on as a fault has it. Gives back how much later it is answered.
    fn let_in(&mut self, id: PushId, admitted: Admitted, fault: Option<Fault>) -> Duration {
        let Admitted {
            channel,
            topic,
            magic,
            urgency,
            keep,
        } = admitted;
        let push = Push {
            id,
            channel,
            topic,
            magic,
            urgency,
            arrived: self.now,
            due: self.now,
        };
        // Those that waited for this one set out right behind it.
        let waited = std::mem::take(&mut self.gateway.reordered);
        let later = match fault {
            None => {
                self.shard.push(push, keep);
                Duration::ZERO
            }
            Some(Fault::Slow(by)) => {
                self.shard.push(push, keep);
                self.gateway.faults.span(id, &by)
            }
            Some(Fault::Duplicate(by)) => {
                let by = self.gateway.faults.span(id, &by);
                self.shard.push(push.clone(), keep);
                self.hold_back(push, keep, by);
                Duration::ZERO
            }
            Some(Fault::Delay(by)) => {
                let by = self.gateway.faults.span(id, &by);
                self.hold_back(push, keep, by);
                Duration::ZERO
            }
            Some(Fault::Reorder(by)) => {
                let by = self.gateway.faults.span(id, &by);
                let number = self.hold_back(push, keep, by);
                self.gateway.reordered.push(number);
                Duration::ZERO
            }
            Some(
                Fault::Drop
                | Fault::Answer { .. }
                | Fault::Garble { .. }
                | Fault::Hang
                | Fault::Reset
                | Fault::GoAway(_),
            ) => {
                self.note(FactKind::PushLost { push: id, channel });
                Duration::ZERO
            }
        };
        for number in waited {
            self.push_sets_out(number);
        }
        later
    }

    /// A push sets out later by this much; gives back its number.
    fn hold_back(&mut self, push: Push, keep: Keep, by: Duration) -> u64 {
        let number = self.gateway.held_back;
        self.gateway.held_back += 1;
        self.gateway.late.insert(number, (push, keep));
        self.agenda.add(self.now + by, Event::PushSetsOut(number));
        number
    }

    /// A push that was held back sets out, unless it has done so.
    pub(super) fn push_sets_out(&mut self, number: u64) {
        if let Some((mut push, keep)) = self.gateway.late.remove(&number) {
            push.arrived = self.now;
            self.shard.push(push, keep);
        }
    }

    /// The server knows how a push went, and answers the operator if it waits for that.
    pub(super) fn push_answered(&mut self, answer: PushAnswer) {
        let PushAnswer { flight, mut result } = answer;
        // A reset takes back what was under way. The push whose fault it is has failed already.
        let is_answer = match &result {
            PushResult::Accepted { .. } | PushResult::Refused(_) => true,
            PushResult::Failed { why } => *why == no_answer(),
        };
        if is_answer && flight.resets != self.gateway.resets {
            let why = WAS_RESET.to_owned();
            result = PushResult::Failed { why };
        }
        self.server.pushed(flight.order.ticket, &result);
        if let Some((order, mut answer)) = flight.answers {
            answer.pushed(&flight.order.id, &result);
            self.answer_operator(order, answer);
        }
    }
}

impl Verdict {
    const fn given(result: PushResult, later: Duration) -> Self {
        Self { result, later }
    }
}

const WAS_RESET: &str = "the connection to APNs was reset";

fn no_answer() -> String {
    format!("no answer from APNs within {} s", ANSWER_TIMEOUT.as_secs())
}
