//! What a run has from earlier ones: its roster, and what it says of the plan's devices.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;

use super::RunError;
use crate::device::keepsake::{Keepsake, Start};
use crate::engine::identity::Identities;
use crate::engine::roster::{Expected, Keeper, Kept, Roster, RosterError, Writing};
use crate::ids::{Crowd, DeviceId};
use crate::plan::Plan;
use crate::scenario::{Scenario, Target};
use crate::time::SimTime;

/// A roster, and what it says of the plan's devices.
#[derive(Debug)]
pub(super) struct Reused {
    roster: Roster,
    target: String,
    /// Who has an identity.
    identified: BTreeSet<DeviceId>,
    /// What devices remember.
    keepsakes: BTreeMap<DeviceId, Keepsake>,
}

/// What is known of a device.
#[derive(Clone, Copy, Debug)]
pub(super) enum Known<'a> {
    /// It is new.
    Nothing,
    /// It has an identity, and was stopped before it was enrolled.
    Identity,
    /// It was played before.
    Device(&'a Keepsake),
}

impl Known<'_> {
    /// How the device begins a run, in which it enrols or goes on with that at `at`.
    pub(super) fn start(self, at: SimTime) -> Start {
        match self {
            Self::Nothing => Start::Enrolls {
                at,
                has_identity: false,
            },
            Self::Identity => Start::Enrolls {
                at,
                has_identity: true,
            },
            Self::Device(keepsake) => Start::Known(keepsake.clone(), at),
        }
    }
}

/// How many differences are told one by one.
const TOLD: usize = 3;

/// The most identities of one commit.
const COMMIT: usize = 4096;

impl Reused {
    /// Opens the roster, or makes one, and looks over what it has of the plan's devices.
    pub(super) fn open(
        folder: &Path,
        scenario: &Scenario,
        plan: &Plan,
        crowd: &Crowd,
    ) -> Result<Self, RunError> {
        let target = target(&scenario.target).ok_or(RosterError::Embedded)?;
        let roster = Roster::open_or_create(folder, crowd)?;
        let mut reused = Self {
            roster,
            target,
            identified: BTreeSet::new(),
            keepsakes: BTreeMap::new(),
        };
        reused.roster.check(&reused.expected(None))?;
        reused.look_over(plan)?;
        Ok(reused)
    }

    fn look_over(&mut self, plan: &Plan) -> Result<(), RosterError> {
        let devices = 0..plan.devices();
        let identified = &mut self.identified;
        self.roster.each_certificate(devices.clone(), |device, _| {
            identified.insert(device);
            ControlFlow::Continue(())
        })?;
        let mut differences = Vec::new();
        let mut others = 0;
        let (identified, keepsakes) = (&self.identified, &mut self.keepsakes);
        self.roster.each_kept(devices, |device, kept| {
            let traits = &plan.cohorts[usize::from(plan.cohort_of(device).0)].traits;
            let played = Kept::new(traits, Keepsake::default());
            if (&kept.platform, &kept.product) != (&played.platform, &played.product) {
                others += 1;
                if differences.len() < TOLD {
                    differences.push(difference(device, &kept, &played));
                }
            }
            // Without an identity nothing else is of use.
            if identified.contains(&device) {
                keepsakes.insert(device, kept.keepsake);
            }
            ControlFlow::Continue(())
        })?;
        if others == 0 {
            return Ok(());
        }
        let mut differences = differences.join(", ");
        if others > TOLD {
            differences += &format!(", and {} more", others - TOLD);
        }
        Err(RosterError::OtherDevices {
            folder: self.roster.folder().to_owned(),
            differences,
        })
    }

    /// The crowd, with the names that devices brought along.
    pub(super) fn crowd(&self, crowd: Crowd) -> Result<Crowd, RosterError> {
        Ok(crowd.with_borrowed(self.roster.borrowed()?))
    }

    /// From now on the roster is about the run's target and this topic.
    pub(super) fn agree(&mut self, topic: &str) -> Result<(), RosterError> {
        let expected = self.expected(Some(topic));
        self.roster.agree(&expected)
    }

    fn expected(&self, topic: Option<&str>) -> Expected {
        Expected {
            target: Some(self.target.clone()),
            topic: topic.map(str::to_owned),
        }
    }

    /// What is known of a device.
    pub(super) fn known(&self, device: DeviceId) -> Known<'_> {
        match self.keepsakes.get(&device) {
            Some(keepsake) => Known::Device(keepsake),
            None if self.identified.contains(&device) => Known::Identity,
            None => Known::Nothing,
        }
    }

    /// Whether a device has an identity from an earlier run.
    pub(super) fn has_identity(&self, device: DeviceId) -> bool {
        self.identified.contains(&device)
    }

    /// Keeps identities that were just issued, and puts those of earlier runs behind them. They are on
    /// the disk before any device shows one, so that no run issues a second.
    pub(super) fn keep_issued(&self, issued: Identities) -> Result<Identities, RosterError> {
        let mut batch = BTreeMap::new();
        for (device, identity) in issued.issued() {
            batch.insert(device, identity.into());
            if batch.len() == COMMIT {
                self.roster.keep_identities(std::mem::take(&mut batch))?;
            }
        }
        if !batch.is_empty() {
            self.roster.keep_identities(batch)?;
        }
        Ok(issued.with_shelf(Some(self.roster.shelf())))
    }

    /// Starts the thread that writes while the run goes on.
    pub(super) fn start_writing(&self) -> (Keeper, Writing) {
        self.roster.start_writing()
    }
}

fn difference(device: DeviceId, kept: &Kept, played: &Kept) -> String {
    format!(
        "device {} is {} ({}) there and {} ({}) here",
        device.0, kept.platform, kept.product, played.platform, played.product
    )
}

/// The URL that tells a target from others; `None` for one that does not outlive the run.
fn target(target: &Target) -> Option<String> {
    match target {
        Target::Embedded(_) => None,
        Target::Nanomdm(it) | Target::Micromdm(it) => Some(it.url.clone()),
        Target::Observe(observe) => Some(observe.url.clone()),
    }
}
