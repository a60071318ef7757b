//! How the push service as a whole is doing: its outages, its limits, who may come in.

use std::time::Duration;

use crate::protocol::push::Reason;

/// How often one token may be pushed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many pushes...
    pub pushes: u32,
    /// ...in this span of scenario time.
    pub per: Duration,
}

/// The state of the service that every provider meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// An outage: connections are closed as soon as they are made, and those that stood are reset.
    pub is_out: bool,
    /// CONNECT is refused, as by a firewall on the way.
    pub refuses_connect: bool,
    /// How many streams a provider may have open on one connection.
    pub streams: u32,
    /// After a rejected push a connection may have one stream, until a push is accepted (observed at
    /// Apple's, radar 27870881).
    pub lowers_streams: bool,
    /// How often a token may be pushed to before 429 TooManyRequests; `None` for any number.
    pub rate: Option<Rate>,
}

/// How many streams a provider may have open on one connection (observed: 500 to 1500).
pub const STREAMS: u32 = 1000;

impl Default for Service {
    fn default() -> Self {
        Self {
            is_out: false,
            refuses_connect: false,
            streams: STREAMS,
            lowers_streams: false,
            rate: None,
        }
    }
}

/// What changes for every provider at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceChange {
    /// An outage begins or ends.
    Out(bool),
    /// CONNECT is refused, or let through again.
    RefuseConnect(bool),
    /// Connections may have so many streams from now on, those that stand too.
    Streams(u32),
    /// A token may be pushed to so often.
    Rate(Option<Rate>),
    /// Every connection ends with GOAWAY and this reason; new ones are taken.
    GoAway(Reason),
}

impl Service {
    /// Takes a change; a [`ServiceChange::GoAway`] leaves nothing behind.
    pub const fn change(&mut self, change: ServiceChange) {
        match change {
            ServiceChange::Out(is_out) => self.is_out = is_out,
            ServiceChange::RefuseConnect(refuses) => self.refuses_connect = refuses,
            ServiceChange::Streams(streams) => self.streams = streams,
            ServiceChange::Rate(rate) => self.rate = rate,
            ServiceChange::GoAway(_) => {}
        }
    }
}
