//! A device's two doors on one screen: what can happen to it, and what it wants.

use std::sync::Arc;

use crate::fact::{Broken, FactKind, Said, Stamps};
use crate::ids::{Channel, PushId, RequestId};
use crate::time::{SimTime, WallTime};

/// What can happen to a device.
#[derive(Debug)]
pub enum Input {
    /// A deadline has passed.
    Tick,
    /// A push reached the device.
    Push(Push),
    /// The answer to a request, or the news that there will be none.
    Reply(RequestId, Reply),
    /// The timeline changes what the device is in.
    Change(Change),
    /// Time zero: sleep and absence from the network begin to alternate.
    Begin,
}

/// What a device wants.
#[derive(Debug)]
pub enum Output {
    /// Deliver this, then hand in [`Input::Reply`].
    Send(Request),
    /// Close the channel's connection.
    Close(Channel),
    /// Something was observed.
    Note(FactKind),
}

/// A push as a device sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Its number at the gateway.
    pub id: PushId,
    /// The channel its token names.
    pub channel: Channel,
    /// The topic it was sent to.
    pub topic: Arc<str>,
    /// The PushMagic it carries, if any.
    pub magic: Option<Arc<str>>,
    /// When its headers were read at the gateway.
    pub arrived: SimTime,
    /// When it was to reach the device.
    pub due: SimTime,
}

/// One HTTP request. It says *what*; the courier knows *how* (TLS, signature, certificate header).
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Its number, to match the reply.
    pub id: RequestId,
    /// The channel it belongs to.
    pub channel: Channel,
    /// What it says; decides the URL and the content type.
    pub said: Said,
    /// The XML property list; shared with the device, which keeps a result until it is delivered.
    pub body: Arc<[u8]>,
    /// What the device believes the time is; the signing time of a signature.
    pub wall: WallTime,
    /// When the device wanted it.
    pub asked: SimTime,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// When each step happened.
    pub stamps: Stamps,
    /// The answer, or why there is none.
    pub answer: Result<Answer, Broken>,
}

/// A complete HTTP answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// A change of what a device is in, from the scenario's timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Fall asleep and stay so until told otherwise.
    Sleep,
    /// Wake up; the cohort's own sleep goes on from here.
    Wake,
    /// Leave the network and stay away until told otherwise.
    GoOffline,
    /// Come back; the cohort's own link goes on from here.
    ComeOnline,
}
