//! What speaks a target's admin API.

pub mod client;
mod micromdm;
mod nanomdm;

pub(super) use self::client::AdminClient;
use self::client::AdminError;
pub(super) use self::micromdm::Micromdm;
pub(super) use self::nanomdm::{Nanomdm, Product};
use super::authority::Credential;
use crate::fact::{Broken, ServerPush};
use crate::ids::CommandUuid;
use crate::time::SimTime;

/// The products whose admin API is spoken.
#[derive(Debug)]
pub(super) enum Adapter {
    /// NanoMDM, and the bundled reference server, which has the same API.
    Nanomdm(Box<Nanomdm>),
    /// MicroMDM.
    Micromdm(Box<Micromdm>),
    /// Commands are ordered elsewhere.
    Observe,
}

/// How an enqueue request ended.
#[derive(Debug)]
pub(super) enum Enqueued {
    /// The target has the command.
    Accepted(ServerPush),
    /// The target said no.
    Rejected { status: u16, reason: String },
    /// Nobody knows.
    Unknown(Broken),
}

/// What a target says of a channel's queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct View {
    /// The commands it calls open.
    pub(super) open: Vec<CommandUuid>,
    /// Whether `open` names refused commands too.
    pub(super) names_refused: bool,
}

impl Adapter {
    /// Queues a command for one enrolment. `offered` is told when the request's first byte is
    /// written; once more if a stale connection makes it go out again.
    pub(super) async fn enqueue(
        &self,
        id: &str,
        command: &[u8],
        offered: &dyn Fn(SimTime),
    ) -> Enqueued {
        match self {
            Self::Nanomdm(nanomdm) => nanomdm.enqueue(id, command, offered).await,
            Self::Micromdm(micromdm) => micromdm.enqueue(id, command, offered).await,
            Self::Observe => Enqueued::Rejected {
                status: 0,
                reason: "an observed target has no admin API".into(),
            },
        }
    }

    /// Asks for a push without a command to each of `ids`; what becomes of them shows at the
    /// gateway.
    pub(super) async fn push(&self, ids: &[String]) -> Result<(), AdminError> {
        match self {
            Self::Nanomdm(nanomdm) => nanomdm.push(ids).await,
            Self::Micromdm(micromdm) => micromdm.push(ids).await,
            Self::Observe => Ok(()),
        }
    }

    /// Takes a queued command back where the product can do that.
    pub(super) async fn cancel(&self, id: &str, uuid: &CommandUuid) -> Result<(), AdminError> {
        match self {
            Self::Nanomdm(nanomdm) => nanomdm.cancel(id, uuid).await,
            // MicroMDM takes back a device's whole queue or nothing.
            Self::Micromdm(_) | Self::Observe => Ok(()),
        }
    }

    /// Whether the product tells what is in its queues.
    pub(super) const fn shows_queues(&self) -> bool {
        match self {
            Self::Nanomdm(nanomdm) => nanomdm.shows_queues(),
            Self::Micromdm(_) => true,
            Self::Observe => false,
        }
    }

    /// What the target says of one enrolment's queue; `None` when it does not know the enrolment, or
    /// tells nobody. `asked` is told when the request's first byte is written, as for an enqueue.
    pub(super) async fn queue(
        &self,
        id: &str,
        asked: &dyn Fn(SimTime),
    ) -> Result<Option<View>, AdminError> {
        match self {
            Self::Nanomdm(nanomdm) => nanomdm.queue(id, asked).await,
            Self::Micromdm(micromdm) => micromdm.queue(id, asked).await.map(Some),
            Self::Observe => Ok(None),
        }
    }

    /// Uploads the push certificate and its key.
    pub(super) async fn upload_push_certificate(
        &self,
        push: &Credential,
    ) -> Result<(), AdminError> {
        match self {
            Self::Nanomdm(nanomdm) => nanomdm.upload_push_certificate(push).await,
            Self::Micromdm(micromdm) => micromdm.upload_push_certificate(push).await,
            Self::Observe => Ok(()),
        }
    }

    /// Asks something harmless, to see whether the target is there and lets us in.
    pub(super) async fn greet(&self) -> Result<String, AdminError> {
        match self {
            Self::Nanomdm(nanomdm) => nanomdm.version().await,
            Self::Micromdm(micromdm) => micromdm.version().await,
            Self::Observe => Ok("observed target: no admin API is asked".into()),
        }
    }
}
