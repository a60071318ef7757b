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
use crate::device::contract::{Change, Input, Obtained, Output, Push, Reply};
use crate::device::environment::Environment;
use crate::device::keepsake::{Keepsake, Start};
use crate::device::traits::Traits;
use crate::fact::FactKind;
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

/// Stale deadlines that are no trouble, however few devices there are.
const STALE_MIN: usize = 64;

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
    /// What APNs keeps for the device channel.
    slot: Slot,
    /// And for each of its users.
    user_slots: Box<[Slot]>,
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

    /// Adds this shard's next device.
    pub fn add(&mut self, cohort: CohortId, start: Start) -> DeviceId {
        let id = self.next_id();
        let mut device = Device::new(id, cohort, &self.env, start);
        device.announce(&self.env, &mut self.out);
        self.push_row(cohort, device)
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
            user_slots,
            pushes,
            ..
        } = &mut self.rows[row as usize];
        let Some(slot) = slot_of(slot, user_slots, push.channel.user) else {
            // A token names a user only if this device made it.
            return;
        };
        let longer = device.hears(&env, push.channel.user, push.urgency);
        let due = longer.map(|longer| {
            let dist = &env.traits(device.cohort()).push_latency;
            let event = u64::from(*pushes);
            let subject = u64::from(push.channel.device.0);
            let mut draw = env.seed.draw(Purpose::PushLatency, subject, event, 0);
            push.arrived + draw.span(dist) + draw.span(longer)
        });
        *pushes = pushes.wrapping_add(1);
        let facts = slot.take(push, keep, due);
        self.out.extend(facts.into_iter().map(Output::Note));
        self.arm(row);
    }

    /// The answer to a device's request.
    pub fn reply(&mut self, now: SimTime, channel: Channel, id: RequestId, reply: Reply) {
        let row = self.row_of(channel.device);
        self.feed(row, now, Input::Reply(channel, id, reply));
    }

    /// How getting a device's identity ended.
    pub fn obtained(&mut self, now: SimTime, device: DeviceId, id: RequestId, obtained: Obtained) {
        let row = self.row_of(device);
        self.feed(row, now, Input::Obtained(id, obtained));
    }

    /// What a device would have to remember after this run.
    pub fn keepsake(&self, device: DeviceId) -> Keepsake {
        self.rows[self.row_of(device) as usize]
            .device
            .keepsake(&self.env)
    }

    /// The traits of a device.
    pub fn traits(&self, device: DeviceId) -> &Traits {
        let cohort = self.rows[self.row_of(device) as usize].device.cohort();
        self.env.traits(cohort)
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

    fn push_row(&mut self, cohort: CohortId, device: Device) -> DeviceId {
        let id = self.next_id();
        let row = self.rows.len() as u32;
        let (slot, armed) = (Slot::default(), SimTime::NEVER);
        let users = self.env.users(cohort);
        self.rows.push(Row {
            device,
            slot,
            user_slots: (0..users).map(|_| Slot::default()).collect(),
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

    /// Hands the pushes on their way to the device, whose time has come.
    fn arrive(&mut self, row: u32, now: SimTime) {
        let env = Arc::clone(&self.env);
        for user in 0..=self.rows[row as usize].user_slots.len() {
            // There are at most 255 users: their number is a u8.
            let user = user as u8;
            let Row {
                device,
                slot,
                user_slots,
                ..
            } = &mut self.rows[row as usize];
            let Some(slot) = slot_of(slot, user_slots, user) else {
                continue;
            };
            let hears = |urgency| device.hears(&env, user, urgency).is_some();
            match slot.arrive(now, hears) {
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
    }

    fn feed(&mut self, row: u32, now: SimTime, input: Input) {
        let Row { device, .. } = &mut self.rows[row as usize];
        let before = device.conditions(&self.env);
        device.handle(&self.env, now, input, &mut self.out);
        if before != device.conditions(&self.env) {
            self.release(row, now);
        }
        self.arm(row);
    }

    /// Sets stored pushes free that the device can hear by now.
    fn release(&mut self, row: u32, now: SimTime) {
        let subject = u64::from(row * self.share.of + self.share.index);
        let Row {
            device,
            slot,
            user_slots,
            pushes,
            releases,
            ..
        } = &mut self.rows[row as usize];
        let dist = &self.env.traits(device.cohort()).stored_push_delay;
        for (slot, user) in std::iter::once(slot).chain(user_slots).zip(0..) {
            let heard = slot
                .stored()
                .is_some_and(|urgency| device.hears(&self.env, user, urgency).is_some());
            if !heard {
                continue;
            }
            *releases = releases.wrapping_add(1);
            let event = u64::from(*pushes);
            let mut draw = self
                .env
                .seed
                .draw(Purpose::PushLatency, subject, event, *releases);
            slot.release(now + draw.span(dist));
        }
    }

    fn arm(&mut self, row: u32) {
        let Row {
            device,
            slot,
            user_slots,
            armed,
            ..
        } = &mut self.rows[row as usize];
        let next = user_slots
            .iter()
            .map(Slot::deadline)
            .fold(device.deadline().min(slot.deadline()), SimTime::min);
        if next == *armed {
            return;
        }
        *armed = next;
        if next != SimTime::NEVER {
            self.deadlines.push(Reverse((next, row)));
        }
        if self.deadlines.len() > 2 * self.rows.len() + STALE_MIN {
            self.drop_stale();
        }
    }

    /// Drops the deadlines that are not their rows' any more. A row has one that counts, and a device
    /// that is woken many times before a deadline of tomorrow has left many of them.
    fn drop_stale(&mut self) {
        let mut live = std::mem::take(&mut self.deadlines).into_vec();
        live.retain(|Reverse((at, row))| self.rows[*row as usize].armed == *at);
        live.sort_unstable();
        live.dedup();
        self.deadlines = live.into();
    }
}

/// The place for a push to the device channel, or to that of a user.
fn slot_of<'a>(device: &'a mut Slot, users: &'a mut [Slot], user: u8) -> Option<&'a mut Slot> {
    match user {
        0 => Some(device),
        user => users.get_mut(usize::from(user) - 1),
    }
}
