//! Pushes: from the server to the gateway, through its doorkeeper to the device's shard, and the
//! gateway's answer back to the server.

use super::World;
use super::agenda::Event;
use crate::apns::admission::Incoming;
use crate::device::contract::Push;
use crate::fact::FactKind;
use crate::ids::{OrderIndex, PushId, hex_lower};
use crate::protocol::push::payload;
use crate::reference_server::{Answer, PushOrder, PushResult};

/// A push on its way to the gateway.
#[derive(Debug)]
pub(super) struct PushFlight {
    order: PushOrder,
    number: u64,
    /// The operator's request that is answered once this push is.
    answers: Option<(OrderIndex, Box<Answer>)>,
}

/// How a push went, on its way back to the server.
#[derive(Debug)]
pub(super) struct PushAnswer {
    flight: PushFlight,
    result: PushResult,
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
            answers,
        };
        let there = self.now + self.network.push_latency(number, 0);
        if self.gateway.is_expired {
            let why = "remote error: tls: expired certificate".to_owned();
            self.note(FactKind::ProviderRefused {
                why: "the push certificate has expired".to_owned(),
            });
            let result = PushResult::Failed { why };
            let answer = PushAnswer { flight, result };
            self.agenda.add(there, Event::PushAnswered(answer.into()));
        } else if self.network.push_fails(number) {
            let result = PushResult::Failed {
                why: "the connection to APNs was reset".to_owned(),
            };
            let answer = PushAnswer { flight, result };
            self.agenda.add(there, Event::PushAnswered(answer.into()));
        } else {
            self.agenda.add(there, Event::Pushed(flight.into()));
        }
    }

    /// The gateway has a push: it is refused, or handed to its device's shard.
    pub(super) fn admit(&mut self, flight: PushFlight) {
        let path = format!("/3/device/{}", hex_lower(&flight.order.token));
        let body = payload(&flight.order.magic);
        let incoming = Incoming {
            method: "POST",
            path: &path,
            certificate_topic: &self.topic,
            topic: Some(&flight.order.topic),
            id: None,
            expiration: None,
            priority: None,
            push_type: Some("mdm"),
            collapse_id: None,
            payload: &body,
        };
        let (push, arrived) = (PushId(self.pushes_arrived), self.now);
        self.pushes_arrived += 1;
        let received = |channel, status, reason| FactKind::PushReceived {
            push,
            channel,
            arrived,
            status,
            reason,
        };
        let result = match self.admission.admit(arrived, &incoming) {
            Ok(admitted) => {
                self.note(received(Some(admitted.channel), 200, None));
                let push = Push {
                    id: push,
                    channel: admitted.channel,
                    topic: admitted.topic,
                    magic: admitted.magic,
                    urgency: admitted.urgency,
                    arrived,
                    due: arrived,
                };
                let share = self.share_lost(push.channel.device);
                if share > 0.0 && self.network.push_vanishes(flight.number, share) {
                    let (push, channel) = (push.id, push.channel);
                    self.note(FactKind::PushLost { push, channel });
                } else {
                    self.shard.push(push, admitted.keep);
                }
                let apns_id = String::new();
                PushResult::Accepted { apns_id }
            }
            Err(refused) => {
                let reason = refused.refusal.reason;
                let name = Some(reason.name().to_owned());
                self.note(received(refused.channel, reason.status(), name));
                PushResult::Refused(reason)
            }
        };
        let back = self.now + self.network.push_latency(flight.number, 1);
        let answer = PushAnswer { flight, result };
        self.agenda.add(back, Event::PushAnswered(answer.into()));
    }

    /// The server knows how a push went, and answers the operator if it waits for that.
    pub(super) fn push_answered(&mut self, answer: PushAnswer) {
        let PushAnswer { flight, result } = answer;
        self.server.pushed(flight.order.ticket, &result);
        if let Some((order, mut answer)) = flight.answers {
            answer.pushed(&flight.order.id, &result);
            self.answer_operator(order, answer);
        }
    }
}
