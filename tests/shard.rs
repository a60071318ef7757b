//! A shard: whose devices it has, when it wants to be called, and in which order it serves.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mdmstorm::apns::slot::Keep;
use mdmstorm::condition::Condition;
use mdmstorm::device::contract::{Answer, Change, Output, Push, Reply, Urgency};
use mdmstorm::device::environment::{Environment, Terms};
use mdmstorm::device::keepsake::{Keepsake, Start};
use mdmstorm::device::traits::{BackOff, Platform, ReplyTimes, Rhythm, Traits};
use mdmstorm::fact::{FactKind, Stamps};
use mdmstorm::ids::{Channel, CohortId, Crowd, CrowdId, DeviceId, OrderBook, PushId};
use mdmstorm::seed::{Dist, Seed};
use mdmstorm::shard::{Shard, Share};
use mdmstorm::time::{RunEpoch, SimTime};

const TOPIC: &str = "com.apple.mgmt.shard";

fn environment() -> Arc<Environment> {
    let exponential = |secs| Dist::Exponential {
        mean: Duration::from_secs(secs),
    };
    let absence = |condition, inside, outside| {
        Rhythm::by_turns(condition, exponential(inside), exponential(outside), 0.3)
    };
    let traits = Traits {
        push_latency: exponential(1),
        stored_push_delay: exponential(2),
        wake_delay: exponential(1),
        reply: ReplyTimes {
            usual: exponential(1),
            by_request: BTreeMap::new(),
        },
        rhythms: vec![
            absence(Condition::Asleep, 60, 60),
            absence(Condition::Offline, 20, 120),
        ],
        back_off: BackOff {
            initial: Duration::from_secs(10),
            max: Duration::from_secs(60),
        },
        ..Traits::prompt("carts", Platform::Ipad)
    };
    Arc::new(Environment {
        seed: Seed(7),
        crowd: Crowd::new(CrowdId([1; 4]), [2; 32]),
        topic: TOPIC.into(),
        terms: Terms::default(),
        time_scale: 1.0,
        epoch: RunEpoch::default(),
        orders: OrderBook::default(),
        cohorts: vec![Arc::new(traits)],
        starts: Duration::ZERO,
        enroll_until: SimTime::from_secs(600),
    })
}

fn push(env: &Environment, device: DeviceId, id: u64, now: SimTime) -> Push {
    let channel = Channel::device(device);
    Push {
        id: PushId(id),
        channel,
        topic: TOPIC.into(),
        magic: Some(env.crowd.magic(channel, 0).into()),
        urgency: Urgency::Immediate,
        arrived: now,
        due: now,
    }
}

fn enrolls(at: SimTime) -> Start {
    let has_identity = true;
    Start::Enrolls { at, has_identity }
}

/// A crowd over `shards` shards whose server has nothing to say, and what each device did.
struct Crowded {
    shards: Vec<Shard>,
    did: BTreeMap<DeviceId, Vec<String>>,
}

impl Crowded {
    fn new(shards: u32, devices: u32) -> Self {
        let env = environment();
        let share = |index| Share { index, of: shards };
        let mut shards: Vec<Shard> = (0..shards)
            .map(|index| Shard::new(Arc::clone(&env), share(index)))
            .collect();
        for device in (0..devices).map(DeviceId) {
            let owner = Share::owner(shards.len() as u32, device) as usize;
            let enroll_at = SimTime::from_secs(device.0.into());
            assert_eq!(shards[owner].add(CohortId(0), enrolls(enroll_at)), device);
        }
        Self {
            shards,
            did: BTreeMap::new(),
        }
    }

    /// Time zero at 60 s, a push to each device every 45 s, and the end at 600 s.
    fn live(mut self, devices: u32) -> BTreeMap<DeviceId, Vec<String>> {
        let env = environment();
        for round in 0..14_u64 {
            let now = SimTime::from_secs(round * 45);
            for index in 0..self.shards.len() {
                self.pass(index, now);
                if round == 1 {
                    self.shards[index].begin(now);
                }
                self.drain(index, now);
            }
            for device in (0..devices).map(DeviceId) {
                let owner = device.0 as usize % self.shards.len();
                let push = push(&env, device, round, now);
                self.shards[owner].push(push, Keep::Until(SimTime::NEVER));
                self.drain(owner, now);
            }
        }
        self.did
    }

    fn pass(&mut self, index: usize, end: SimTime) {
        while self.shards[index].deadline() <= end {
            let now = self.shards[index].deadline();
            self.shards[index].tick(now, 1);
            self.drain(index, now);
        }
    }

    fn drain(&mut self, index: usize, now: SimTime) {
        let mut outputs: Vec<Output> = self.shards[index].drain().collect();
        while !outputs.is_empty() {
            for output in std::mem::take(&mut outputs) {
                let (device, what) = match output {
                    Output::Send(request) => {
                        let answer = Answer {
                            status: 200,
                            body: Vec::new(),
                        };
                        let reply = Reply {
                            stamps: Stamps::default(),
                            answer: Ok(answer),
                        };
                        let (channel, id) = (request.channel, request.id);
                        self.shards[index].reply(now, channel, id, reply);
                        (channel.device, format!("{:?}", request.said))
                    }
                    Output::Close(channel) => (channel.device, "closes".into()),
                    Output::Obtain(errand) => (errand.device, "sets out".into()),
                    Output::Keep(device) => (device, "keeps".into()),
                    Output::Token(channel, epoch) => (channel.device, format!("{epoch:?}")),
                    Output::Note(FactKind::Condition { device, now }) => {
                        (device, format!("{now:?}"))
                    }
                    Output::Note(
                        FactKind::PushDelivered { channel, .. } | FactKind::Woke { channel, .. },
                    ) => (channel.device, "wakes or is pushed".into()),
                    Output::Note(_) => continue,
                };
                self.did
                    .entry(device)
                    .or_default()
                    .push(format!("{now} {what}"));
            }
            outputs.extend(self.shards[index].drain());
        }
    }
}

#[test]
fn a_device_does_the_same_whatever_the_number_of_shards() {
    let alone = Crowded::new(1, 7).live(7);
    assert_eq!(alone.len(), 7);
    assert!(alone.values().all(|did| did.len() > 20), "{alone:?}");
    assert_eq!(alone, Crowded::new(3, 7).live(7));
}

#[test]
fn further_devices_change_nothing_for_the_others() {
    let mut many = Crowded::new(1, 9).live(9);
    many.retain(|device, _| device.0 < 4);
    assert_eq!(Crowded::new(1, 4).live(4), many);
}

#[test]
fn what_is_due_at_one_instant_is_served_by_device_and_no_more_than_the_limit() {
    let mut shard = Shard::new(environment(), Share { index: 0, of: 1 });
    for _ in 0..5 {
        shard.add(CohortId(0), enrolls(SimTime::from_secs(1)));
    }
    let now = SimTime::from_secs(2);
    let mut asked = |limit| {
        shard.tick(now, limit);
        let sent = shard.drain().filter_map(|output| match output {
            Output::Send(request) => Some(request.channel.device.0),
            Output::Close(_)
            | Output::Token(..)
            | Output::Obtain(_)
            | Output::Keep(_)
            | Output::Note(_) => None,
        });
        let sent: Vec<u32> = sent.collect();
        (sent, shard.deadline())
    };
    assert_eq!(asked(3), (vec![0, 1, 2], SimTime::from_secs(1)));
    assert_eq!(asked(3), (vec![3, 4], SimTime::NEVER));
}

#[test]
fn it_says_which_devices_have_plans_before_the_end() {
    let env = environment();
    let mut shard = Shard::new(Arc::clone(&env), Share { index: 1, of: 2 });
    let (resting, pushed) = (
        shard.add(
            CohortId(0),
            Start::Known(Keepsake::of_enrolled(0), SimTime::ZERO),
        ),
        shard.add(
            CohortId(0),
            Start::Known(Keepsake::of_enrolled(0), SimTime::ZERO),
        ),
    );
    assert_eq!((resting, pushed), (DeviceId(1), DeviceId(3)));
    shard.push(push(&env, pushed, 0, SimTime::ZERO), Keep::Never);
    let end = SimTime::from_secs(3_600);
    assert!(!shard.has_plans(resting, end));
    assert!(shard.has_plans(pushed, end));
    assert!(!shard.has_plans(pushed, SimTime::ZERO));
}

#[test]
fn a_push_that_must_not_be_stored_is_discarded_when_the_device_is_away() {
    let env = environment();
    let mut shard = Shard::new(Arc::clone(&env), Share { index: 0, of: 1 });
    let device = shard.add(
        CohortId(0),
        Start::Known(Keepsake::of_enrolled(0), SimTime::ZERO),
    );
    shard.change(SimTime::ZERO, device, Change::Enter(Condition::Offline));
    shard.drain();
    shard.push(push(&env, device, 4, SimTime::ZERO), Keep::Never);
    let channel = Channel::device(device);
    let outputs: Vec<Output> = shard.drain().collect();
    let [Output::Note(fact)] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(
        *fact,
        FactKind::PushDiscarded {
            push: PushId(4),
            channel
        }
    );
}

/// Whether a push is delivered until then.
fn delivers(shard: &mut Shard, until: SimTime) -> bool {
    while shard.deadline() <= until {
        let now = shard.deadline();
        shard.tick(now, usize::MAX);
    }
    let delivered = |it: &Output| matches!(it, Output::Note(FactKind::PushDelivered { .. }));
    shard.drain().filter(delivered).count() == 1
}

/// Which of a push of priority 10, 5 and 1 a device in these conditions gets before it leaves them,
/// and after.
fn heard(woken_by_push: bool, conditions: &[Condition]) -> [(bool, bool); 3] {
    [Urgency::Immediate, Urgency::MayWait, Urgency::WakesNobody].map(|urgency| {
        let mut env = Arc::unwrap_or_clone(environment());
        let mut traits = Arc::unwrap_or_clone(env.cohorts.remove(0));
        traits.rhythms.clear();
        traits.woken_by_push = woken_by_push.then_some(Dist::ZERO);
        env.cohorts.push(Arc::new(traits));
        let env = Arc::new(env);
        let mut shard = Shard::new(Arc::clone(&env), Share { index: 0, of: 1 });
        let device = shard.add(
            CohortId(0),
            Start::Known(Keepsake::of_enrolled(0), SimTime::ZERO),
        );
        for condition in conditions {
            shard.change(SimTime::ZERO, device, Change::Enter(*condition));
        }
        let push = Push {
            urgency,
            ..push(&env, device, 4, SimTime::ZERO)
        };
        shard.push(push, Keep::Until(SimTime::from_secs(10_000)));
        let before = delivers(&mut shard, SimTime::from_secs(1_000));
        for condition in conditions {
            shard.change(SimTime::from_secs(1_000), device, Change::Leave(*condition));
        }
        (before, delivers(&mut shard, SimTime::from_secs(2_000)))
    })
}

#[test]
fn a_stored_push_waits_for_the_end_of_what_kept_it_by_its_priority() {
    let (at_once, later) = ((true, false), (false, true));
    assert_eq!(heard(false, &[]), [at_once; 3]);
    assert_eq!(heard(false, &[Condition::Offline]), [later; 3]);
    assert_eq!(heard(false, &[Condition::Asleep]), [later; 3]);
    let saving = heard(false, &[Condition::LowPower]);
    assert_eq!(saving, [at_once, later, later]);
    // One that a push wakes is not woken by the lowest priority.
    assert_eq!(heard(true, &[Condition::Asleep]), [at_once, at_once, later]);
}

#[test]
#[should_panic(expected = "device 3 is not of shard 0")]
fn a_device_of_another_shard_is_a_mistake_of_ours() {
    let mut shard = Shard::new(environment(), Share { index: 0, of: 2 });
    shard.change(SimTime::ZERO, DeviceId(3), Change::Enter(Condition::Asleep));
}
