//! What a plan has go wrong on purpose, as far as facts alone do not say so: whoever accuses a server
//! has to know it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Event, Plan};
use crate::apns::fault::Fault;
use crate::device::contract::Change;
use crate::device::traits::Misbehaviour;
use crate::ids::{CohortId, DeviceId};
use crate::scenario::PushFault;

/// What goes wrong on purpose, and would look like the target's fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// Cohorts whose devices send results that cannot be read.
    pub garbles: Vec<CohortId>,
    /// Whether the gateway may call tokens bad that are good.
    pub lies_about_tokens: bool,
    /// Whether the operator sends pushes without a command.
    pub pushes_blank: bool,
    /// When the tokens of a device change, in scenario time from time zero, earliest first.
    pub token_changes: BTreeMap<DeviceId, Vec<Duration>>,
    /// How much faster than these times the run is: 1 on virtual time.
    pub time_scale: f64,
}

impl Default for Trouble {
    fn default() -> Self {
        Self {
            garbles: Vec::new(),
            lies_about_tokens: false,
            pushes_blank: false,
            token_changes: BTreeMap::new(),
            time_scale: 1.0,
        }
    }
}

impl Trouble {
    /// What `plan` has go wrong, on virtual time.
    pub fn of_plan(plan: &Plan) -> Self {
        let mut trouble = Self::default();
        for (cohort, it) in (0_u16..).map(CohortId).zip(&plan.cohorts) {
            let mut rules = it.traits.misbehaves.iter();
            if rules.any(|rule| garbles(&rule.does)) {
                trouble.garbles.push(cohort);
            }
        }
        trouble.lies_about_tokens = plan.push.faults.iter().any(is_lie);
        for happening in &plan.happenings {
            match &happening.what {
                Event::BlankPush(_) => trouble.pushes_blank = true,
                Event::FaultPushes(fault) => trouble.lies_about_tokens |= is_lie(fault),
                Event::ExpirePushCertificate
                | Event::RenewPushCertificate
                | Event::HealPushes(_)
                | Event::Service(_) => {}
            }
        }
        for entry in &plan.timeline {
            if ends_tokens(entry.change) {
                let changes = trouble.token_changes.entry(entry.device).or_default();
                changes.push(entry.at);
            }
        }
        trouble
    }
}

/// Whether a server cannot read the result.
const fn garbles(does: &Misbehaviour) -> bool {
    match does {
        Misbehaviour::Truncated | Misbehaviour::WrongTypes => true,
        Misbehaviour::Duplicate
        | Misbehaviour::UnknownCommand
        | Misbehaviour::Late(_)
        | Misbehaviour::Never
        | Misbehaviour::Drops => false,
    }
}

/// Whether the gateway says of a token what is not so. A server is right to believe it.
const fn is_lie(fault: &PushFault) -> bool {
    match fault.fault {
        Fault::Answer { status, .. } => matches!(status, 400 | 410),
        Fault::Delay(_)
        | Fault::Drop
        | Fault::Duplicate(_)
        | Fault::Reorder(_)
        | Fault::Garble { .. }
        | Fault::Hang
        | Fault::Slow(_)
        | Fault::Reset
        | Fault::GoAway(_) => false,
    }
}

/// Whether the device's tokens are others from then on, or none.
const fn ends_tokens(change: Change) -> bool {
    match change {
        Change::RotateToken
        | Change::Reenroll
        | Change::EraseAndReenroll
        | Change::CloneOf(_)
        | Change::RemoveProfile => true,
        Change::Enter(_)
        | Change::Leave(_)
        | Change::Reboot
        | Change::SetClock(_)
        | Change::SyncClock
        | Change::EndRule(_)
        | Change::RenewIdentity
        | Change::Wish(_) => false,
    }
}
