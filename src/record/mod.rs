//! Facts folded into one timeline per command, and what can be said of them all.
//!
//! A [`Ledger`] takes facts of several producers, a little out of order between them, and settles
//! accounts once a watermark promises that nothing earlier is to come. It sees facts, never
//! devices, so a report can be rebuilt from a recorded bundle. It keeps nothing for a device that
//! does nothing, and a bounded log for a channel with open commands.

pub mod account;
pub mod cause;
mod channel;
mod command;
mod devices;
pub mod enrolling;
mod exchange;
pub mod failures;
mod finish;
pub mod histogram;
pub mod interval;
pub mod life;
mod log;
mod pending;
mod phase;
mod push;
mod settle;
pub mod setup;
pub mod slices;
pub mod slow;
pub mod snapshot;
mod timeline;
mod turn;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use hdrhistogram::Histogram;

use crate::fact::{Fact, FactKind};
use crate::ids::{Channel, Channels, CommandUuid, DeviceId, OrderIndex};
use crate::time::SimTime;

use account::{Beside, DeviceTally, PushTally, Tally};
use cause::situation::ProviderRefusal;
use channel::ChannelRecord;
use command::{Open, Stand};
use devices::DeviceRecord;
use enrolling::Enrolling;
use failures::Failures;
use histogram::{Histograms, latencies, sample};
use interval::{Current, Interval};
use log::{CommandId, Moment, Rooms};
use setup::{OrderInfo, Orderer, Setup, StageInfo};
use slices::Slices;
use slow::Slow;
use snapshot::Snapshots;

/// Facts folded into one timeline per command.
#[derive(Debug)]
pub struct Ledger {
    setup: Setup,
    /// The first device after each cohort.
    cohort_ends: Vec<u32>,
    stands: Vec<Stand>,
    /// Boxed, because an ordered map moves what stands behind a place.
    open: BTreeMap<CommandId, Box<Open>>,
    /// Observed commands by what names them.
    observed: HashMap<(Channel, CommandUuid), CommandId>,
    channels: Channels<ChannelRecord>,
    /// Room of logs that have ended.
    rooms: Rooms,
    /// Channels whose log may have something to drop, each once.
    touched: Vec<Channel>,
    /// Devices of which anything is known that is not as usual.
    crowd: BTreeMap<DeviceId, DeviceRecord>,
    /// Whether a device has ever enrolled, by its index.
    enrolled: Vec<bool>,
    /// The provider the gateway last refused, if it took no push since.
    provider: Option<ProviderRefusal>,
    /// Settled commands whose facts may not all be here, by when the last one was seen.
    settling: BTreeSet<(SimTime, CommandId)>,
    /// Settled orders that nobody has taken.
    settled: Vec<OrderIndex>,
    tallies: Vec<Vec<Tally>>,
    devices: Vec<DeviceTally>,
    pushes: PushTally,
    /// How many providers the gateway cut off, by why; at most [`CUT_REASONS_MAX`] reasons.
    providers_cut: BTreeMap<String, u64>,
    beside: Beside,
    failures: Failures,
    snapshots: Snapshots,
    slow: Slow,
    histograms: Histograms,
    slices: Slices,
    current: Current,
    intervals: Vec<Interval>,
    lateness: Histogram<u64>,
    enrollment: Histogram<u64>,
    enrolling: Enrolling,
    last_answer: SimTime,
    /// Failed requests in a row since the last answer, and when the first of them was.
    failing: Failing,
    /// The device whose commands somebody asks about.
    followed: Option<life::Followed>,
}

/// Failures without an answer between them.
#[derive(Clone, Copy, Debug, Default)]
struct Failing {
    count: u32,
    since: SimTime,
}

/// Fewer failures in a row than this may be chance.
const FAILURES_MIN: u32 = 3;

/// How far a run is; everything a progress line needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Orders that became due.
    pub ordered: u64,
    /// Orders that completed.
    pub completed: u64,
    /// Orders that failed.
    pub failed: u64,
    /// Orders the admin API rejected.
    pub rejected: u64,
    /// Orders that are open.
    pub open: u64,
    /// Pushes the gateway took.
    pub pushes: u64,
    /// Devices that enrolled.
    pub enrolled: u64,
    /// Devices that gave up enrolling.
    pub enrollment_failed: u64,
    /// Devices that were let go before time zero, most of them by an earlier run.
    pub unmanaged: u64,
}

impl Ledger {
    /// An empty ledger.
    ///
    /// # Panics
    ///
    /// When an order names a cohort, stage or request type that `setup` does not have.
    pub fn new(mut setup: Setup) -> Self {
        if setup.stages.is_empty() {
            setup.stages.push(StageInfo {
                name: "run".to_owned(),
                warm_up: false,
            });
        }
        for order in &setup.orders {
            assert!(
                usize::from(order.cohort.0) < setup.cohorts.len()
                    && usize::from(order.stage) < setup.stages.len()
                    && usize::from(order.request) < setup.requests.len(),
                "an order of {} names a cohort, stage or request type that is not there",
                order.channel
            );
        }
        let cohort_ends = setup.cohorts.iter().scan(0_u32, |end, cohort| {
            *end += cohort.devices;
            Some(*end)
        });
        let planned = |devices: u32| DeviceTally {
            planned: u64::from(devices),
            ..DeviceTally::default()
        };
        Self {
            cohort_ends: cohort_ends.collect(),
            stands: vec![Stand::Unseen; setup.orders.len()],
            open: BTreeMap::new(),
            observed: HashMap::new(),
            channels: Channels::default(),
            rooms: Rooms::default(),
            touched: Vec::new(),
            crowd: BTreeMap::new(),
            enrolled: Vec::new(),
            provider: None,
            settling: BTreeSet::new(),
            settled: Vec::new(),
            tallies: vec![vec![Tally::default(); setup.stages.len()]; setup.cohorts.len()],
            devices: setup.cohorts.iter().map(|it| planned(it.devices)).collect(),
            pushes: PushTally::default(),
            providers_cut: BTreeMap::new(),
            beside: Beside::default(),
            failures: Failures::default(),
            snapshots: Snapshots::default(),
            slow: Slow::default(),
            histograms: Histograms::default(),
            slices: Slices::default(),
            current: Current::default(),
            intervals: Vec::new(),
            lateness: latencies(),
            enrollment: latencies(),
            enrolling: Enrolling::default(),
            last_answer: SimTime::ZERO,
            failing: Failing::default(),
            followed: None,
            setup,
        }
    }

    /// Takes one fact.
    #[expect(clippy::too_many_lines, reason = "one arm for each kind of fact")]
    pub fn record(&mut self, fact: &Fact) {
        let at = fact.at;
        match &fact.kind {
            FactKind::Enrolled { device, since } => {
                // One that enrols anew is no second device.
                let first = self.enrolls_first(*device);
                let took = self.enrolling.enrolled(*device, *since, at, first);
                if first {
                    self.devices_of(*device, |tally| tally.enrolled += 1);
                    sample(&mut self.enrollment, took);
                }
            }
            FactKind::EnrollmentFailed { device, .. } => {
                self.enrolling.gave_up(*device);
                self.devices_of(*device, |tally| tally.enrollment_failed += 1);
            }
            FactKind::Resumed { device } => {
                self.enrolling.resumed += 1;
                if self.enrolls_first(*device) {
                    self.devices_of(*device, |tally| tally.enrolled += 1);
                }
            }
            FactKind::IdentityStep {
                device,
                step,
                since,
                until,
                failed,
            } => {
                let (span, failed) = ((*since, *until), failed.as_ref());
                self.enrolling.step(*device, *step, span, failed);
            }
            FactKind::IdentityObtained { device, why, since } => {
                self.enrolling.obtained(*device, *why, *since);
            }
            FactKind::TimeZero => self.snapshots.time_zero(at),
            FactKind::Condition { device, now } => self.enters(*device, *now, at),
            FactKind::Clock { device, ahead_ms } => {
                self.device(*device, |it| it.clock_ahead_ms = *ahead_ms);
            }
            FactKind::Unenrolled { device, why } => {
                self.let_go_early(*device);
                let left = Some(Box::new((at, why.clone())));
                self.device(*device, |it| it.unenrolled = left);
            }
            FactKind::Ordered { order, due } => self.ordered(*order, (*due).min(at)),
            FactKind::Offered { order } => self.offered(*order, at),
            FactKind::Accepted { order, push } => self.accepted(*order, at, push),
            FactKind::Rejected { order, .. } => self.rejected(*order, at),
            FactKind::Cancelled { order, .. } => self.cancelled(*order, at),
            FactKind::AcceptanceUnknown { order, why } => self.enqueue_lost(*order, at, why),
            FactKind::PushReceived { .. }
            | FactKind::PushStored { .. }
            | FactKind::PushCoalesced { .. }
            | FactKind::PushDiscarded { .. }
            | FactKind::PushLost { .. }
            | FactKind::ProviderRefused { .. }
            | FactKind::ProviderCut { .. }
            | FactKind::PushUnanswered { .. }
            | FactKind::PushDelivered { .. }
            | FactKind::PushIgnored { .. } => self.push_fact(at, &fact.kind),
            FactKind::Woke { channel, due, .. } => {
                self.planned(*channel, *due, at, Moment::WakeDue, Moment::Woke);
            }
            FactKind::Exchange {
                channel,
                said,
                stamps,
                got,
            } => {
                self.enrolling.exchange(*channel, said, stamps, got);
                self.exchange(*channel, said, stamps, got, at);
            }
            FactKind::Executed {
                channel,
                uuid,
                due,
                error,
            } => {
                if let Some(id) = self.command(*channel, uuid) {
                    self.executed(id, error.as_ref());
                    let late = Moment::ExecutedDue(id);
                    self.planned(*channel, *due, at, late, Moment::Executed(id));
                }
            }
            FactKind::Refused { channel, uuid, why } => {
                if let Some(id) = self.command(*channel, uuid) {
                    self.refused(id, at, why);
                }
            }
            FactKind::DeferralEnded {
                channel,
                uuid,
                due,
                polls,
            } => {
                if let Some(id) = self.command(*channel, uuid) {
                    let ended = Moment::DeferralEnded(id, *polls);
                    self.planned(*channel, *due, at, Moment::DeferralDue(id), ended);
                }
            }
            FactKind::SessionEnded { channel } => {
                self.channel(*channel).spin = None;
                self.enter(*channel, at, Moment::SessionEnded);
            }
            // These are for findings alone.
            FactKind::QueueSeen { .. }
            | FactKind::EventReceived { .. }
            | FactKind::EventRefused { .. } => {}
            FactKind::Violation { channel, what } => {
                self.beside.violations += 1;
                self.enrolling.explained(channel.device, what);
            }
        }
    }

    /// Promises that every fact before `watermark` has been recorded: commands settled before it
    /// are accounted for, snapshots that are due are taken, and what no open command needs is
    /// forgotten.
    pub fn advance(&mut self, watermark: SimTime) {
        self.take_snapshots(watermark);
        self.explain_slow(watermark);
        while let Some((seen, id)) = self.settling.first().copied()
            && seen < watermark
        {
            self.settling.pop_first();
            self.account_for(id);
        }
        self.forget(watermark);
    }

    /// Orders that settled since the last call, in the order of their facts.
    pub fn take_settled(&mut self) -> Vec<OrderIndex> {
        std::mem::take(&mut self.settled)
    }

    /// How far the run is.
    pub fn progress(&self) -> Progress {
        let mut sum = Tally::default();
        self.tallies
            .iter()
            .flatten()
            .for_each(|tally| sum.add(tally));
        let mut devices = DeviceTally::default();
        self.devices.iter().for_each(|tally| devices.add(tally));
        Progress {
            ordered: sum.ordered,
            completed: sum.completed,
            failed: sum.failed,
            rejected: sum.rejected,
            open: sum.ordered - sum.completed - sum.failed - sum.rejected - sum.cancelled,
            pushes: self.pushes.received,
            enrolled: devices.enrolled,
            enrollment_failed: devices.enrollment_failed,
            unmanaged: self.enrolling.left,
        }
    }

    /// Since when nothing but failures has come from the target; `None` while it answers.
    pub fn silent_since(&self) -> Option<SimTime> {
        (self.failing.count >= FAILURES_MIN).then_some(self.failing.since)
    }

    fn target_answered(&mut self, at: SimTime) {
        self.last_answer = self.last_answer.max(at);
        // Facts of several producers come a little out of order.
        if at >= self.failing.since {
            self.failing = Failing::default();
        }
    }

    fn target_failed(&mut self, at: SimTime) {
        if self.failing.count == 0 {
            self.failing.since = at;
        }
        self.failing.count += 1;
    }

    /// How many orders are open.
    pub fn open_count(&self) -> u64 {
        self.progress().open
    }

    /// The devices that have an open order.
    pub fn open_devices(&self) -> Vec<DeviceId> {
        let open = self.open.iter().filter(|(_, open)| open.settled.is_none());
        let mut devices: Vec<DeviceId> =
            open.map(|(&id, _)| self.info(id).channel.device).collect();
        devices.sort_unstable();
        devices.dedup();
        devices
    }

    /// What happened since the last call, which ends at `now`. Call it once a second.
    pub fn interval_since_last(&mut self, now: SimTime) -> Interval {
        let open = self.open_count();
        let ended = self.current.end(now, open);
        self.intervals.push(ended.clone());
        ended
    }

    /// The command `uuid` of `channel`; `None` for one that nobody here knows.
    fn command(&self, channel: Channel, uuid: &CommandUuid) -> Option<CommandId> {
        match self.setup.orderer {
            Orderer::Elsewhere => self.observed.get(&(channel, uuid.clone())).copied(),
            Orderer::Operator => {
                let order = self.setup.book.order(uuid)?;
                let info = self.setup.orders.get(order.0 as usize)?;
                (info.channel == channel).then_some(CommandId(order.0))
            }
        }
    }

    fn info(&self, id: CommandId) -> OrderInfo {
        self.setup.orders[id.0 as usize]
    }

    fn devices_of(&mut self, device: DeviceId, change: impl FnOnce(&mut DeviceTally)) {
        let cohort = self.cohort_of(device);
        if let Some(tally) = self.devices.get_mut(usize::from(cohort)) {
            change(tally);
        }
    }

    /// The index of the cohort of `device`.
    fn cohort_of(&self, device: DeviceId) -> u16 {
        let index = self.cohort_ends.partition_point(|end| *end <= device.0);
        u16::try_from(index).expect("there are fewer cohorts than 65,536")
    }
}

/// Microseconds from `from` to `to`; zero when it is not after it.
fn micros(from: SimTime, to: SimTime) -> u64 {
    to.as_micros().saturating_sub(from.as_micros())
}
