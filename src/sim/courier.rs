//! Devices' requests: sent, answered by the server, and read, or lost on the way.

use super::World;
use super::agenda::Event;
use super::network::Ending;
use crate::device::contract::{Answer, Errand, Obtained, Output, Reply, Request};
use crate::fact::{Broken, Obtaining, Refusal, Stamps};
use crate::ids::{Channel, DeviceId, RequestId};
use crate::reference_server::{self, Identity};
use crate::time::SimTime;

/// A channel's connection and the request on it.
#[derive(Debug, Default)]
pub(super) struct Line {
    is_open: bool,
    waiting: Option<Waiting>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    id: RequestId,
    stamps: Stamps,
}

/// The certificate of a device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    /// Who it says the device is.
    identity: Identity,
    /// When it was issued.
    issued: SimTime,
}

/// A request on its way to the server, and what becomes of its answer.
#[derive(Debug)]
pub(super) struct Letter {
    request: Request,
    stamps: Stamps,
    back: std::time::Duration,
    is_cut: bool,
}

impl World {
    /// Carries out what the devices want.
    pub(super) fn carry_out(&mut self) {
        let mut outputs = std::mem::take(&mut self.outputs);
        loop {
            outputs.extend(self.shard.drain());
            if outputs.is_empty() {
                break;
            }
            for output in outputs.drain(..) {
                self.carry(output);
            }
        }
        self.outputs = outputs;
    }

    fn carry(&mut self, output: Output) {
        match output {
            Output::Send(request) => self.send(request),
            Output::Close(channel) => self.close(channel),
            Output::Token(channel, Some(epoch)) => {
                let since = self.env.epoch.wall(self.now);
                self.admission.token_changed(channel, epoch, since);
            }
            Output::Token(channel, None) => {
                let since = self.env.epoch.wall(self.now);
                self.admission.unregistered(channel, since);
            }
            Output::Note(fact) => self.note(fact),
            Output::Obtain(errand) => self.obtain(&errand),
            Output::Keep(_) => {}
        }
    }

    /// A rehearsal's identities take no time: whatever way leads to them is the engine's.
    fn obtain(&mut self, errand: &Errand) {
        let obtained = match errand.why {
            Obtaining::Restore => self.take_back(errand.device),
            Obtaining::Enroll | Obtaining::Renew | Obtaining::Clone => self.network.errand(errand),
        };
        if obtained == Obtained::Identity && errand.why != Obtaining::Restore {
            let shown = match errand.original {
                Some(original) => self.own(original),
                None => Own {
                    identity: fresh(errand.device, errand.id),
                    issued: self.now,
                },
            };
            let before = self.own(errand.device);
            self.identities.insert(errand.device, shown);
            self.replaced.insert(errand.device, before);
        }
        self.shard
            .obtained(self.now, errand.device, errand.id, obtained);
    }

    /// A device goes back to the identity it had.
    fn take_back(&mut self, device: DeviceId) -> Obtained {
        let Some(before) = self.replaced.remove(&device) else {
            return Obtained::Never(Refusal {
                name: "key-unavailable".to_owned(),
                what: "the identity it had is gone".to_owned(),
            });
        };
        self.identities.insert(device, before);
        Obtained::Identity
    }

    /// Who a device is to the server.
    fn own(&self, device: DeviceId) -> Own {
        let at_the_beginning = || Own {
            identity: fresh(device, RequestId(u32::MAX)),
            issued: SimTime::ZERO,
        };
        let own = self.identities.get(&device).copied();
        own.unwrap_or_else(at_the_beginning)
    }

    fn send(&mut self, request: Request) {
        let (channel, id) = (request.channel, request.id);
        self.watch.asks(&request);
        let line = self.lines.entry(channel).or_default();
        let fate = self.network.fate(&request, line.is_open);
        let stamps = Stamps {
            asked: request.asked,
            permitted: request.asked,
            connected: fate.connected,
            sent: fate.sent,
            ..Stamps::default()
        };
        let before = line.waiting.replace(Waiting { id, stamps });
        assert!(
            before.is_none(),
            "{channel} has two requests in flight at {}",
            self.now
        );
        match fate.ending {
            Ending::Arrives { at, back, is_cut } => {
                let letter = Letter {
                    request,
                    stamps,
                    back,
                    is_cut,
                };
                self.agenda.add(at, Event::Asked(letter.into()));
            }
            Ending::Fails { at, why } => self.answer(channel, id, stamps, at, Err(why)),
        }
    }

    /// The server has a device's request.
    pub(super) fn serve(&mut self, letter: Letter) {
        let Letter {
            request,
            stamps,
            back,
            is_cut,
        } = letter;
        // Users share the certificate of their device.
        let own = self.own(request.channel.device);
        let identity = Some(own.identity);
        let refused = self
            .signatures
            .is_some_and(|validity| validity.since(own.issued).refusal(request.wall).is_some());
        let reply = if refused {
            // As Go's libraries do with a signing time outside the signer's validity.
            reference_server::Reply {
                status: 400,
                ..reference_server::Reply::default()
            }
        } else if request.said.is_check_in() {
            self.server.check_in(self.now, identity, &request.body)
        } else {
            self.server.connect(self.now, identity, &request.body)
        };
        let read = self.now + reply.delay + back;
        let deadline = stamps.asked + self.network.timeout();
        let (read, answer) = if read > deadline {
            (deadline.max(self.now), Err(Broken::TimedOut))
        } else if is_cut {
            let why = "the connection was reset before the answer was whole";
            (read, Err(Broken::Cut(why.to_owned())))
        } else {
            let (status, body) = (reply.status, reply.body);
            (read, Ok(Answer { status, body }))
        };
        self.answer(request.channel, request.id, stamps, read, answer);
    }

    fn answer(
        &mut self,
        channel: Channel,
        id: RequestId,
        stamps: Stamps,
        read: SimTime,
        answer: Result<Answer, Broken>,
    ) {
        let stamps = Stamps {
            first_byte: answer.is_ok().then_some(read),
            read,
            ..stamps
        };
        let reply = Reply { stamps, answer };
        self.agenda
            .add(read, Event::Answered(channel, id, reply.into()));
    }

    /// A device has its answer; one that it does not wait for any more is dropped.
    pub(super) fn answered(&mut self, channel: Channel, id: RequestId, reply: Reply) {
        let Some(line) = self.lines.get_mut(&channel) else {
            return;
        };
        if line.waiting.is_none_or(|waiting| waiting.id != id) {
            return;
        }
        line.waiting = None;
        line.is_open = reply.answer.is_ok();
        self.watch.hears(channel, id, &reply);
        self.shard.reply(self.now, channel, id, reply);
    }

    /// As a courier: what was under way on the connection is lost at once.
    fn close(&mut self, channel: Channel) {
        let Some(line) = self.lines.get_mut(&channel) else {
            return;
        };
        line.is_open = false;
        let Some(Waiting { id, stamps }) = line.waiting else {
            self.lines.remove(&channel);
            return;
        };
        let so_far = |at: Option<SimTime>| at.filter(|at| *at <= self.now);
        let stamps = Stamps {
            connected: so_far(stamps.connected),
            sent: so_far(stamps.sent),
            ..stamps
        };
        let why = Broken::Cut("the device left the network".to_owned());
        self.answer(channel, id, stamps, self.now, Err(why));
    }
}

/// The certificate that a device got on this errand.
fn fresh(device: DeviceId, errand: RequestId) -> Identity {
    let mut identity = [0; 32];
    identity[..4].copy_from_slice(&device.0.to_be_bytes());
    identity[4..8].copy_from_slice(&errand.0.to_be_bytes());
    Identity(identity)
}
