//! Many devices behind one deadline.
//!
//! A shard owns the devices whose number leaves its index when divided by the number of shards,
//! each beside the one push that APNs keeps for it. Outputs come out in the order in which they
//! arose; what falls on one instant is served by time, then device.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use crate::apns::slot::{Arrival, Keep, Slot};
use crate::device::Device;
use crate::device::contract::{Change, Input, Output, Push, Reply};
use crate::device::environment::Environment;
use crate::fact::{FactKind, Reach};
use crate::ids::{Channel, CohortId, DeviceId, RequestId};
use crate::seed::Purpose;
use crate::time::SimTime;

/// Which of how many shards this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// This shard, from zero.
    pub index: u32,
    /// How many there are, at least one.
    pub of: u32,
}

impl Share {
    /// The shard that owns `device`.
    pub const fn owner(of: u32, device: DeviceId) -> u32 {
        device.0 % of
    }
}

/// The devices of one worker.
#[derive(Debug)]
pub struct Shard {
    env: Arc<Environment>,
    share: Share,
    rows: Vec<Row>,
    /// Deadlines, soonest first. An entry that is not its row's `armed` any more is stale.
    deadlines: BinaryHeap<Reverse<(SimTime, u32)>>,
    out: Vec<Output>,
}

#[derive(Debug)]
struct Row {
    device: Device,
    slot: Slot,
    armed: SimTime,
    /// Pushes so far: the event number of their draws.
    pushes: u32,
    /// Stored pushes set free so far, so that each return draws anew.
    releases: u32,
}

impl Shard {
    /// An empty shard.
    pub fn new(env: Arc<Environment>, share: Share) -> Self {
        assert!(
            share.index < share.of,
            "shard {} of {}",
            share.index,
            share.of
        );
        Self {
            env,
            share,
            rows: Vec::new(),
            deadlines: BinaryHeap::new(),
            out: Vec::new(),
        }
    }

    /// Makes room for `devices` devices.
    pub fn reserve(&mut self, devices: usize) {
        self.rows.reserve_exact(devices);
    }

    /// Adds this shard's next device, which begins to enrol at `enroll_at`.
    pub fn add(&mut self, cohort: CohortId, enroll_at: SimTime) -> DeviceId {
        let id = self.next_id();
        self.push_row(Device::new(id, cohort, enroll_at))
    }

    /// Adds this shard's next device, already enrolled and at rest.
    pub fn add_enrolled(&mut self, cohort: CohortId) -> DeviceId {
        let id = self.next_id();
        self.push_row(Device::enrolled(id, cohort))
    }

    /// What the devices share.
    pub const fn environment(&self) -> &Arc<Environment> {
        &self.env
    }

    /// How many devices there are.
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// When [`Shard::tick`] is wanted next; [`SimTime::NEVER`] when nothing is planned.
    pub fn deadline(&mut self) -> SimTime {
        while let Some(&Reverse((at, row))) = self.deadlines.peek() {
            if self.rows[row as usize].armed == at {
                return at;
            }
            self.deadlines.pop();
        }
        SimTime::NEVER
    }

    /// Serves every deadline that is not later than `now`, at most `limit` of them. Whether more
    /// are due is what [`Shard::deadline`] says afterwards.
    pub fn tick(&mut self, now: SimTime, limit: usize) {
        for _ in 0..limit {
            let due = self.deadline();
            if due > now {
                return;
            }
            let Some(Reverse((_, row))) = self.deadlines.pop() else {
                return;
            };
            self.rows[row as usize].armed = SimTime::NEVER;
            self.arrive(row, now);
            self.feed(row, now, Input::Tick);
        }
    }

    /// A push that was let in for one of this shard's devices.
    pub fn push(&mut self, push: Push, keep: Keep) {
        let row = self.row_of(push.channel.device);
        let env = Arc::clone(&self.env);
        let Row {
            device,
            slot,
            pushes,
            ..
        } = &mut self.rows[row as usize];
        let due = (device.reach() == Reach::Online).then(|| {
            let dist = &env.traits(device.cohort()).push_latency;
            let event = u64::from(*pushes);
            let subject = u64::from(push.channel.device.0);
            push.arrived
                + env
                    .seed
                    .draw(Purpose::PushLatency, subject, event, 0)
                    .span(dist)
        });
        *pushes = pushes.wrapping_add(1);
        let facts = slot.take(push, keep, due);
        self.out.extend(facts.into_iter().map(Output::Note));
        self.arm(row);
    }

    /// The answer to a device's request.
    pub fn reply(&mut self, now: SimTime, channel: Channel, id: RequestId, reply: Reply) {
        let row = self.row_of(channel.device);
        self.feed(row, now, Input::Reply(id, reply));
    }

    /// The timeline changes what a device is in.
    pub fn change(&mut self, now: SimTime, device: DeviceId, change: Change) {
        let row = self.row_of(device);
        self.feed(row, now, Input::Change(change));
    }

    /// Time zero: sleep and absence begin to alternate.
    pub fn begin(&mut self, now: SimTime) {
        for row in 0..self.rows.len() {
            self.feed(row as u32, now, Input::Begin);
        }
    }

    /// Whether `device` is in a session, or has anything planned before `end`.
    pub fn has_plans(&self, device: DeviceId, end: SimTime) -> bool {
        let row = &self.rows[self.row_of(device) as usize];
        row.device.is_in_session() || row.armed < end
    }

    /// Takes what the devices want, in the order in which it arose.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Output> {
        self.out.drain(..)
    }

    /// Gives back memory that building the shard left over.
    pub fn shrink(&mut self) {
        self.rows.shrink_to_fit();
        self.deadlines.shrink_to_fit();
    }

    // ---- within --------------------------------------------------------------------------

    fn next_id(&self) -> DeviceId {
        DeviceId(self.rows.len() as u32 * self.share.of + self.share.index)
    }

    fn push_row(&mut self, device: Device) -> DeviceId {
        let id = self.next_id();
        let row = self.rows.len() as u32;
        let (slot, armed) = (Slot::default(), SimTime::NEVER);
        self.rows.push(Row {
            device,
            slot,
            armed,
            pushes: 0,
            releases: 0,
        });
        self.arm(row);
        id
    }

    fn row_of(&self, device: DeviceId) -> u32 {
        assert!(
            Share::owner(self.share.of, device) == self.share.index,
            "device {} is not of shard {}",
            device.0,
            self.share.index
        );
        device.0 / self.share.of
    }

    /// Hands the push on its way to the device, if its time has come.
    fn arrive(&mut self, row: u32, now: SimTime) {
        let Row { device, slot, .. } = &mut self.rows[row as usize];
        let reachable = device.reach() == Reach::Online;
        match slot.arrive(now, reachable) {
            Arrival::Nothing => {}
            Arrival::Kept(fact) => self.out.push(Output::Note(fact)),
            Arrival::Delivered(push) => {
                let (id, channel, due) = (push.id, push.channel, push.due);
                self.out.push(Output::Note(FactKind::PushDelivered {
                    push: id,
                    channel,
                    due,
                }));
                self.feed(row, now, Input::Push(push));
            }
        }
    }

    fn feed(&mut self, row: u32, now: SimTime, input: Input) {
        let Row {
            device,
            slot,
            pushes,
            releases,
            ..
        } = &mut self.rows[row as usize];
        let before = device.reach();
        device.handle(&self.env, now, input, &mut self.out);
        if before != Reach::Online && device.reach() == Reach::Online && slot.is_stored() {
            *releases = releases.wrapping_add(1);
            let dist = &self.env.traits(device.cohort()).stored_push_delay;
            let subject = u64::from(row * self.share.of + self.share.index);
            let event = u64::from(*pushes);
            let mut draw = self
                .env
                .seed
                .draw(Purpose::PushLatency, subject, event, *releases);
            slot.release(now + draw.span(dist));
        }
        self.arm(row);
    }

    fn arm(&mut self, row: u32) {
        let Row {
            device,
            slot,
            armed,
            ..
        } = &mut self.rows[row as usize];
        let next = device.deadline().min(slot.deadline());
        if next == *armed {
            return;
        }
        *armed = next;
        if next != SimTime::NEVER {
            self.deadlines.push(Reverse((next, row)));
        }
    }
}
