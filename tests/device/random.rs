//! Anything may happen to a device, in any order: it never panics, never has two requests under
//! way, and comes to rest once the world is well again.

use std::sync::Arc;
use std::time::Duration;

use mdmstorm::apns::slot::Keep;
use mdmstorm::condition::Condition;
use mdmstorm::device::contract::{Answer, Change, Output, Push, Reply};
use mdmstorm::device::keepsake::{Keepsake, Start};
use mdmstorm::device::traits::{Rhythm, Traits};
use mdmstorm::fact::{Broken, Stamps};
use mdmstorm::ids::{Channel, CohortId, DeviceId, RequestId};
use mdmstorm::seed::Dist;
use mdmstorm::shard::{Shard, Share};
use mdmstorm::time::SimTime;
use proptest::prelude::*;

use crate::rig::{command, environment, push, refuses, traits};

const DEVICES: u32 = 3;

#[derive(Clone, Debug)]
enum Event {
    Pass(Duration),
    Push {
        device: u32,
        is_stale: bool,
        keep: bool,
    },
    Answer {
        device: u32,
        answer: Result<Answer, Broken>,
    },
    Stray {
        device: u32,
        request: u32,
    },
    Change {
        device: u32,
        change: Change,
    },
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => Just(Vec::new()),
        4 => (0..6_u32, 0..3_usize)
            .prop_map(|(order, which)| command(order, ["ProfileList", "SecurityInfo", "?"][which])),
        1 => prop::collection::vec(any::<u8>(), 1..80),
        1 => (0..6_u32, any::<prop::sample::Index>()).prop_map(|(order, cut)| {
            let mut body = command(order, "ProfileList");
            body.truncate(cut.index(body.len()));
            body
        }),
    ]
}

fn any_answer() -> impl Strategy<Value = Result<Answer, Broken>> {
    prop_oneof![
        6 => any_body().prop_map(|body| Ok(Answer { status: 200, body })),
        1 => (any::<u16>(), any_body()).prop_map(|(status, body)| Ok(Answer { status, body })),
        1 => Just(Err(Broken::TimedOut)),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    let change = prop_oneof![
        Just(Change::Enter(Condition::Asleep)),
        Just(Change::Leave(Condition::Asleep)),
        Just(Change::Enter(Condition::Offline)),
        Just(Change::Leave(Condition::Offline)),
    ];
    prop_oneof![
        6 => (0..20_000_u64).prop_map(|millis| Event::Pass(Duration::from_millis(millis))),
        4 => (0..DEVICES, any::<bool>(), any::<bool>())
            .prop_map(|(device, is_stale, keep)| Event::Push { device, is_stale, keep }),
        8 => (0..DEVICES, any_answer())
            .prop_map(|(device, answer)| Event::Answer { device, answer }),
        1 => (0..DEVICES, 0..30_u32)
            .prop_map(|(device, request)| Event::Stray { device, request }),
        2 => (0..DEVICES, change).prop_map(|(device, change)| Event::Change { device, change }),
    ]
}

struct World {
    shard: Shard,
    now: SimTime,
    in_flight: [Option<RequestId>; DEVICES as usize],
    pushes: u64,
}

impl World {
    /// One device that enrols, one that refuses half of its commands, one that alternates as well.
    fn new(seed: u64) -> Self {
        let often = || Dist::Exponential {
            mean: Duration::from_secs(20),
        };
        let often = |condition| Rhythm::by_turns(condition, often(), often(), 0.5);
        let mut choosy = refuses("ProfileList", 5);
        choosy.not_now[0].scope.probability = 0.5;
        let restless = Traits {
            rhythms: vec![often(Condition::Asleep), often(Condition::Offline)],
            ..choosy.clone()
        };
        let mut env = environment(seed, traits());
        env.cohorts.extend([Arc::new(choosy), Arc::new(restless)]);
        let mut shard = Shard::new(Arc::new(env), Share { index: 0, of: 1 });
        let start = Start::Enrolls {
            at: SimTime::from_secs(1),
            has_identity: true,
        };
        shard.add(CohortId(0), start);
        for cohort in [CohortId(1), CohortId(2)] {
            shard.add(
                cohort,
                Start::Known(Keepsake::of_enrolled(0), SimTime::ZERO),
            );
        }
        let mut world = Self {
            shard,
            now: SimTime::ZERO,
            in_flight: [None; DEVICES as usize],
            pushes: 0,
        };
        world.shard.begin(world.now);
        world.drain();
        world
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Pass(span) => self.pass(self.now + span),
            Event::Push {
                device,
                is_stale,
                keep,
            } => {
                let push = push(DeviceId(device), self.pushes, self.now);
                self.pushes += 1;
                let magic = if is_stale { None } else { push.magic.clone() };
                let keep = if keep {
                    Keep::Until(SimTime::NEVER)
                } else {
                    Keep::Never
                };
                self.shard.push(Push { magic, ..push }, keep);
            }
            Event::Answer { device, answer } => {
                if let Some(id) = self.in_flight[device as usize].take() {
                    self.reply(device, id, answer);
                }
            }
            Event::Stray { device, request } => {
                if self.in_flight[device as usize] != Some(RequestId(request)) {
                    let answer = Answer {
                        status: 200,
                        body: command(7, "ProfileList"),
                    };
                    self.reply(device, RequestId(request), Ok(answer));
                }
            }
            Event::Change { device, change } => {
                self.shard.change(self.now, DeviceId(device), change);
            }
        }
        self.drain();
    }

    fn reply(&mut self, device: u32, id: RequestId, answer: Result<Answer, Broken>) {
        let reply = Reply {
            stamps: Stamps::default(),
            answer,
        };
        self.shard
            .reply(self.now, Channel::device(DeviceId(device)), id, reply);
    }

    fn pass(&mut self, end: SimTime) {
        for _ in 0..10_000 {
            let next = self.shard.deadline();
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            self.shard.tick(self.now, 1);
            self.drain();
        }
        panic!("a device spins at {}", self.now);
    }

    fn drain(&mut self) {
        for output in self.shard.drain() {
            if let Output::Send(request) = output {
                let slot = &mut self.in_flight[request.channel.device.0 as usize];
                assert_eq!(*slot, None, "a second request is under way");
                *slot = Some(request.id);
            }
        }
    }

    /// The network stands, everybody is awake, and the server has nothing to say.
    fn heal(&mut self) {
        for _ in 0..60 {
            for device in 0..DEVICES {
                for change in [
                    Change::Leave(Condition::Offline),
                    Change::Leave(Condition::Asleep),
                ] {
                    self.happen(Event::Change { device, change });
                }
                self.happen(Event::Answer {
                    device,
                    answer: Ok(Answer {
                        status: 200,
                        body: Vec::new(),
                    }),
                });
            }
            self.happen(Event::Pass(Duration::from_secs(5)));
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_a_device_has_one_request_at_most_and_comes_to_rest(
        seed in any::<u64>(),
        events in prop::collection::vec(any_event(), 0..120),
    ) {
        let mut world = World::new(seed);
        for event in events {
            world.happen(event);
        }
        world.heal();
        for device in [0, 1] {
            prop_assert!(!world.shard.has_plans(DeviceId(device), SimTime::NEVER));
        }
    }
}
