//! What the network does to everything that crosses it: the one place where fates are decided.
//!
//! A fate is a draw of (seed, who, number), so that nothing that is added elsewhere shifts it.

use std::time::Duration;

use crate::device::contract::{Errand, Fate as Trouble, Obtained, Request};
use crate::fact::{Broken, Refusal};
use crate::ids::{Channel, OrderIndex};
use crate::seed::{Dist, Draw, Purpose, Seed};
use crate::time::{SimTime, WallTime};

/// How good the network and the target's certificate are.
#[derive(Clone, Debug, PartialEq)]
pub struct Conditions {
    /// One way, of everything.
    pub latency: Dist,
    /// From a device's request at the server until its answer sets out.
    pub server_time: Dist,
    /// From a device's wish until it gives up waiting for the answer.
    pub timeout: Duration,
    /// When the server's certificate is valid; `None` for always.
    pub certificate: Option<Validity>,
    /// What goes wrong.
    pub faults: Faults,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            latency: Dist::LogNormal {
                median: Duration::from_millis(15),
                p95: Duration::from_millis(60),
            },
            server_time: Dist::Constant(Duration::from_millis(1)),
            timeout: Duration::from_secs(30),
            certificate: None,
            faults: Faults::default(),
        }
    }
}

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not before.
    pub from: WallTime,
    /// Not after.
    pub until: WallTime,
}

impl Validity {
    /// That of a certificate that was issued so much later.
    pub(super) fn since(self, issued: SimTime) -> Self {
        let from = self.from.after(issued.since(SimTime::ZERO));
        Self { from, ..self }
    }

    /// Why the certificate is not good at `wall`; `None` when it is.
    pub(super) fn refusal(self, wall: WallTime) -> Option<&'static str> {
        if wall < self.from {
            Some("the certificate is not valid yet")
        } else if wall > self.until {
            Some("the certificate has expired")
        } else {
            None
        }
    }
}

/// How likely each fault is, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// A device's connection is cut before the server has the request.
    pub cut_before: f64,
    /// A device's connection is cut after the server processed the request.
    pub cut_after: f64,
    /// A device's request vanishes, and the device waits until its timeout.
    pub lost: f64,
    /// A push does not reach the gateway, and the server knows.
    pub push_failed: f64,
    /// The operator's request is cut before the server has it.
    pub order_cut_before: f64,
    /// The answer to the operator's request is cut.
    pub order_cut_after: f64,
    /// A device's way to an identity fails, and may be tried again.
    pub errand_failed: f64,
}

/// What becomes of a device's request. The stamps are `None` for what it does not get to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fate {
    /// When TCP and TLS stand; `None` on a connection that was open.
    pub(super) connected: Option<SimTime>,
    /// When its first byte is written.
    pub(super) sent: Option<SimTime>,
    pub(super) ending: Ending,
}

/// How a request ends.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ending {
    /// The server gets it, and the answer takes so long, or is cut after so long.
    Arrives {
        at: SimTime,
        back: Duration,
        is_cut: bool,
    },
    /// The server never gets it.
    Fails { at: SimTime, why: Broken },
}

/// What becomes of the operator's request for one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OrderFate {
    Answered,
    CutBefore,
    CutAfter,
}

/// What is drawn for whom: devices have the low subjects.
const OPERATOR: u64 = 1 << 62;
const PROVIDER: u64 = 1 << 63;
/// Tells draws of errands from those of requests.
const ERRANDS: u64 = 1 << 61;

/// The way between devices, operator, server and gateway.
#[derive(Debug)]
pub(super) struct Network {
    seed: Seed,
    conditions: Conditions,
}

impl Network {
    pub(super) const fn new(seed: Seed, conditions: Conditions) -> Self {
        Self { seed, conditions }
    }

    /// From now on nothing goes wrong.
    pub(super) const fn heal(&mut self) {
        self.conditions.faults = Faults {
            cut_before: 0.0,
            cut_after: 0.0,
            lost: 0.0,
            push_failed: 0.0,
            order_cut_before: 0.0,
            order_cut_after: 0.0,
            errand_failed: 0.0,
        };
        self.conditions.certificate = None;
    }

    pub(super) const fn timeout(&self) -> Duration {
        self.conditions.timeout
    }

    /// What becomes of a device's request; `is_open` when it goes over an open connection.
    pub(super) fn fate(&self, request: &Request, is_open: bool) -> Fate {
        let mut draw = self.draw(subject(request.channel), u64::from(request.id.0), 0);
        let faults = self.conditions.faults;
        // Every kind is thrown for, whatever the others show, so that none shifts another.
        let trip = &request.trip;
        let cut_before = draw.chance(faults.cut_before) | (trip.fate == Trouble::CutBefore);
        let cut_after = draw.chance(faults.cut_after) | (trip.fate == Trouble::CutAfter);
        let lost = draw.chance(faults.lost) | (trip.fate == Trouble::Lost);
        let latency = draw.span(&self.conditions.latency);
        let asked = request.asked;
        if let Trouble::RefusesTls(why) = &trip.fate {
            return Fate {
                connected: None,
                sent: None,
                ending: Ending::Fails {
                    at: asked,
                    why: Broken::Tls(why.clone()),
                },
            };
        }
        if !is_open && let Some(why) = self.refusal(request.wall) {
            // TCP, then the server's certificate.
            let at = asked + latency * 4;
            return Fate {
                connected: None,
                sent: None,
                ending: Ending::Fails {
                    at,
                    why: Broken::Tls(why.to_owned()),
                },
            };
        }
        // TCP and TLS 1.3 are a round trip each.
        let connected = (!is_open).then(|| asked + latency * 4);
        let sent = connected.unwrap_or(asked);
        let cut = || Broken::Cut("the connection was reset".to_owned());
        let ending = if lost {
            Ending::Fails {
                at: asked + self.conditions.timeout,
                why: Broken::TimedOut,
            }
        } else if cut_before {
            Ending::Fails {
                at: sent + latency + trip.latency / 2,
                why: cut(),
            }
        } else {
            Ending::Arrives {
                at: sent + latency + trip.latency / 2,
                back: draw.span(&self.conditions.server_time)
                    + latency
                    + trip.latency / 2
                    + trip.slow_read,
                is_cut: cut_after,
            }
        };
        Fate {
            connected,
            sent: Some(sent),
            ending,
        }
    }

    /// What becomes of the request for an order.
    pub(super) fn order_fate(&self, order: OrderIndex) -> OrderFate {
        let mut draw = self.draw(OPERATOR, u64::from(order.0), 2);
        let faults = self.conditions.faults;
        let cut_before = draw.chance(faults.order_cut_before);
        let cut_after = draw.chance(faults.order_cut_after);
        match (cut_before, cut_after) {
            (true, _) => OrderFate::CutBefore,
            (false, true) => OrderFate::CutAfter,
            (false, false) => OrderFate::Answered,
        }
    }

    /// How long the request of an order (`way` 0), or its answer (1), is on its way.
    pub(super) fn order_latency(&self, order: OrderIndex, way: u32) -> Duration {
        self.draw(OPERATOR, u64::from(order.0), way)
            .span(&self.conditions.latency)
    }

    /// How long the server's `number`th push, or its answer, is on its way.
    pub(super) fn push_latency(&self, number: u64, way: u32) -> Duration {
        self.draw(PROVIDER, number, way)
            .span(&self.conditions.latency)
    }

    /// Whether the server's `number`th push fails.
    pub(super) fn push_fails(&self, number: u64) -> bool {
        self.draw(PROVIDER, number, 2)
            .chance(self.conditions.faults.push_failed)
    }

    /// Why a device that believes it is `wall` refuses the server's certificate.
    fn refusal(&self, wall: WallTime) -> Option<&'static str> {
        self.conditions.certificate?.refusal(wall)
    }

    /// How a device's errand ends.
    pub(super) fn errand(&self, errand: &Errand) -> Obtained {
        let subject = u64::from(errand.device.0) | ERRANDS;
        let mut draw = self.draw(subject, u64::from(errand.id.0), 0);
        if !draw.chance(self.conditions.faults.errand_failed) {
            return Obtained::Identity;
        }
        Obtained::NotYet(Refusal {
            name: "unreachable".to_owned(),
            what: "the network is not to be relied on".to_owned(),
        })
    }

    fn draw(&self, subject: u64, event: u64, attempt: u32) -> Draw {
        self.seed.draw(Purpose::Network, subject, event, attempt)
    }
}

/// A number of its own for each channel.
fn subject(channel: Channel) -> u64 {
    u64::from(channel.user) << 32 | u64::from(channel.device.0)
}
