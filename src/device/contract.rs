//! A device's two doors on one screen: what can happen to it, and what it wants.

use std::sync::Arc;
use std::time::Duration;

use crate::condition::Condition;
use crate::fact::{Broken, FactKind, Obtaining, Refusal, Said, Stamps};
use crate::ids::{Channel, DeviceId, PushId, RequestId};
use crate::time::{SimTime, WallTime};

/// What can happen to a device.
#[derive(Debug)]
pub enum Input {
    /// A deadline has passed.
    Tick,
    /// A push reached the device.
    Push(Push),
    /// The answer to a request, or the news that there will be none.
    Reply(Channel, RequestId, Reply),
    /// How getting an identity ended.
    Obtained(RequestId, Obtained),
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
    /// Get the device an identity, then hand in [`Input::Obtained`]. Nothing else of the device's own
    /// channel is under way meanwhile, and no second errand of the device.
    Obtain(Errand),
    /// What the device would have to remember after this run has changed.
    Keep(DeviceId),
    /// The channel has a push token of another epoch, which the push service learns at once;
    /// `None` when it is not managed any more.
    Token(Channel, Option<u32>),
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
    /// Whether it may wait for a device that saves power.
    pub urgency: Urgency,
    /// When its headers were read at the gateway.
    pub arrived: SimTime,
    /// When it was to reach the device.
    pub due: SimTime,
}

/// What `apns-priority` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// 10, or no priority: at once.
    Immediate,
    /// 5: when power allows.
    MayWait,
    /// 1: when power allows, and without waking a device that sleeps.
    WakesNobody,
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
    /// What the device believes the time is: the signing time of a signature, and what the
    /// server's certificates are judged by.
    pub wall: WallTime,
    /// When the device wanted it.
    pub asked: SimTime,
    /// What the network does to it.
    pub trip: Trip,
}

/// What the network between a device and the server does to one request; drawn by the device, so
/// that it is the same on virtual and on real time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trip {
    /// Added on the way there and back together.
    pub latency: Duration,
    /// Added to reading the answer.
    pub slow_read: Duration,
    /// Whether it gets there, and the answer back.
    pub fate: Fate,
}

/// How far a request gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// There and back.
    #[default]
    Arrives,
    /// The device refuses TLS before it says anything, as a lower-case fragment.
    RefusesTls(String),
    /// No answer comes within the timeout, and the server has not seen it.
    Lost,
    /// The connection is cut before the server has it.
    CutBefore,
    /// The server has answered it; the connection is cut before the device has the answer.
    CutAfter,
}

/// The way to an identity. It says *what for*; the engine knows *how*: by issuing, SCEP or ACME, with
/// or without a profile that has to be fetched first.
#[derive(Clone, Debug, PartialEq)]
pub struct Errand {
    /// Its number, to match the outcome.
    pub id: RequestId,
    /// The device.
    pub device: DeviceId,
    /// What it is for.
    pub why: Obtaining,
    /// Whose identity is taken over, for [`Obtaining::Clone`]. For [`Obtaining::Restore`] it is the
    /// one that the device had before [`Obtaining::Renew`] gave it another; the engine keeps it until
    /// TokenUpdate is taken.
    pub original: Option<DeviceId>,
    /// `OSVersion`, after what was updated since the run began.
    pub os_version: String,
    /// What the device believes the time is.
    pub wall: WallTime,
    /// When the device wanted it.
    pub asked: SimTime,
}

/// How getting an identity ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obtained {
    /// The device has it, and with it the payload's URLs.
    Identity,
    /// It may be tried again.
    NotYet(Refusal),
    /// It will not be had by trying again.
    Never(Refusal),
    /// The server wants a newer system first (403 `com.apple.softwareupdate.required`).
    UpdateFirst {
        /// The `OSVersion` it wants; `None` for the latest.
        os_version: Option<String>,
    },
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

/// What the scenario's timeline does to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Enter a condition and stay in it until told otherwise.
    Enter(Condition),
    /// Leave a condition; a rhythm of the cohort goes on from here.
    Leave(Condition),
    /// Restart: off for as long as a boot takes, then as after any boot.
    Reboot,
    /// Set the clock by hand, this far ahead in microseconds, and never right by itself again.
    SetClock(i64),
    /// "Set automatically": right from now on.
    SyncClock,
    /// A rule of the cohort, by its number, does not apply any more.
    EndRule(u8),
    /// Push tokens change, and TokenUpdate says so.
    RotateToken,
    /// Enrol again, as after the profile was removed.
    Reenroll,
    /// Get a new certificate, then Authenticate and TokenUpdate with it: the same device, the same
    /// tokens.
    RenewIdentity,
    /// The user removes the profile; with CheckOut if the profile asks for one.
    RemoveProfile,
    /// Erased and set up again: everything is new but UDID and serial number.
    EraseAndReenroll,
    /// From now on the device shows the identity of this one, as one restored from its backup does.
    CloneOf(DeviceId),
    /// The device has something to ask its server for, or to tell it.
    Wish(Wish),
}

/// A check-in message that a device sends when there is an occasion, in the order in which several
/// go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// SetBootstrapToken: a supervised Mac gives its token to the server.
    SetBootstrapToken,
    /// GetBootstrapToken: it wants it back.
    GetBootstrapToken,
    /// GetToken, for Managed Apple Accounts.
    GetToken,
    /// ReturnToService: an erased device asks for its way back.
    ReturnToService,
    /// DeclarativeManagement `tokens`: it asks which declarations there are.
    Declarations,
}

impl Wish {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SetBootstrapToken => "set bootstrap token",
            Self::GetBootstrapToken => "get bootstrap token",
            Self::GetToken => "get token",
            Self::ReturnToService => "return to service",
            Self::Declarations => "sync declarations",
        }
    }
}
