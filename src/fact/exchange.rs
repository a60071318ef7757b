//! One request of a device and what came back: what it said, when, and what it got.

use serde::{Deserialize, Serialize};

use crate::ids::CommandUuid;
use crate::time::SimTime;

/// What a device's request said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// Check-in: Authenticate.
    Authenticate,
    /// Check-in: TokenUpdate.
    TokenUpdate,
    /// Check-in: CheckOut.
    CheckOut,
    /// Check-in: UserAuthenticate, of a Mac's network user.
    UserAuthenticate,
    /// Check-in: SetBootstrapToken.
    SetBootstrapToken,
    /// Check-in: GetBootstrapToken.
    GetBootstrapToken,
    /// Check-in: GetToken.
    GetToken,
    /// Check-in: ReturnToService.
    ReturnToService,
    /// Check-in: DeclarativeManagement, with its endpoint.
    DeclarativeManagement {
        /// `tokens`, `declaration-items`, `status` or `declaration/<kind>/<id>`.
        endpoint: String,
    },
    /// Status Idle: it asks for work.
    Idle,
    /// The result of a command.
    Result {
        /// The command; `None` for a CommandFormatError about a command without CommandUUID.
        uuid: Option<CommandUuid>,
        /// Its status.
        status: ResultStatus,
    },
}

impl Said {
    /// Whether it is a check-in message, which goes to the CheckInURL.
    pub const fn is_check_in(&self) -> bool {
        match self {
            Self::Authenticate
            | Self::TokenUpdate
            | Self::CheckOut
            | Self::UserAuthenticate
            | Self::SetBootstrapToken
            | Self::GetBootstrapToken
            | Self::GetToken
            | Self::ReturnToService
            | Self::DeclarativeManagement { .. } => true,
            Self::Idle | Self::Result { .. } => false,
        }
    }
}

/// The status of a command's result (Apple, "Sending MDM commands to a device").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ResultStatus {
    /// Done.
    Acknowledged,
    /// Failed for good; an error chain says why.
    Error,
    /// The device could not read the command.
    CommandFormatError,
    /// Not at present; never terminal.
    NotNow,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Got {
    /// 2xx without a body: a check-in is accepted, a session is over.
    Empty,
    /// 2xx with a command.
    Command {
        /// The command.
        uuid: CommandUuid,
        /// Its request type.
        request_type: String,
    },
    /// 2xx with what a check-in message asked for.
    Content {
        /// How many bytes.
        bytes: u64,
    },
    /// 2xx with a body that is no command. What the request said was delivered all the same.
    Unreadable {
        /// What is wrong with it.
        what: String,
    },
    /// Any other status: nothing was delivered.
    Status(u16),
    /// No complete answer.
    Lost(Broken),
}

impl Got {
    /// Whether the request reached the server: a 2xx was read whole.
    pub const fn is_delivered(&self) -> bool {
        match self {
            Self::Empty | Self::Command { .. } | Self::Content { .. } | Self::Unreadable { .. } => {
                true
            }
            Self::Status(_) | Self::Lost(_) => false,
        }
    }
}

/// When each step of a request happened. Later steps are `None` when it did not get that far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamps {
    /// The device wanted it.
    pub asked: SimTime,
    /// The harness let it: a socket permit and a handshake slot were free. What passed is the
    /// harness's, never the target's.
    pub permitted: SimTime,
    /// TCP and TLS stood; `None` on a connection that was already open.
    pub connected: Option<SimTime>,
    /// Just before its first byte was written.
    pub sent: Option<SimTime>,
    /// The first byte of the answer was there.
    pub first_byte: Option<SimTime>,
    /// The answer was read whole, or the attempt was given up.
    pub read: SimTime,
}

/// Why a request has no complete answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Broken {
    /// Nobody listens there, or the name does not resolve.
    Unreachable(String),
    /// The TLS handshake failed.
    Tls(String),
    /// The connection ended before the answer was whole.
    Cut(String),
    /// No whole answer within the timeout.
    TimedOut,
    /// The answer is not HTTP.
    Malformed(String),
    /// The answer's body is larger than we take.
    TooLarge(String),
    /// Our own fault: no descriptor, no port. Never counted against the target.
    Harness(String),
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "the target is unreachable: {why}"),
            Self::Tls(why) => write!(f, "the TLS handshake failed: {why}"),
            Self::Cut(why) => write!(f, "the connection was cut: {why}"),
            Self::TimedOut => f.write_str("the target did not answer in time"),
            Self::Malformed(what) => write!(f, "the answer is not usable HTTP: {what}"),
            Self::TooLarge(what) => write!(f, "the answer is too large: {what}"),
            Self::Harness(why) => write!(f, "this machine ran out of something: {why}"),
        }
    }
}
