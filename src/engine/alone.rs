//! The gateway alone: for `mdmstorm apns`, and for the doctor's own test push.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::authority::Credential;
use super::clock::Clock;
use super::front::{Front, FrontPlan, Listeners, Outside};
use super::gateway::Settings;
use super::gateway::lookout::{Lookout, SEEN_MAX, Seen};
use super::gateway::tally::Tally;
use super::gateway::webhook::{self, Webhook};
use super::operator::Halt;
use super::ports::Ports;
use super::provider_tls::gateway_tls;
use super::run::{RunError, provider_keys};
use super::scribe::{BATCHES_MAX, Batch, Scribe};
use super::state::State;
use crate::apns::admission::{Admission, Storage};
use crate::apns::fault::FaultRule;
use crate::fact::{Fact, FactKind};
use crate::ids::{Channel, DeviceId};
use crate::scenario::{PushFault, Scenario};

/// A gateway without devices behind it: it answers as it would in a run, and reports each push.
#[derive(Debug)]
pub struct Alone {
    front: Front,
    halt: watch::Sender<Halt>,
    batches: mpsc::Receiver<Batch>,
    waiting: std::vec::IntoIter<Fact>,
    seen: mpsc::Receiver<Seen>,
    tally: watch::Receiver<Tally>,
}

/// How a gateway alone behaves.
#[derive(Debug, Default)]
pub struct Manner<'a> {
    /// Its number of devices and how it keeps pushes; without one every token of the crowd is good.
    pub scenario: Option<&'a Scenario>,
    /// Where each push is passed on to.
    pub webhook: Option<Webhook>,
    /// Devices whose tokens are answered with 410 Unregistered.
    pub gone: Vec<DeviceId>,
}

/// What is to be told of a gateway alone.
#[derive(Debug)]
pub enum Event {
    /// A push.
    Push(Box<Seen>),
    /// A provider was not let in, and why.
    Refused(String),
    /// A provider was cut off, and why.
    Cut(String),
}

impl Alone {
    /// Starts it on these listeners, for the crowd of the state folder and this push certificate.
    ///
    /// # Errors
    /// When a certificate cannot be made, or a provider's key cannot be read.
    pub fn start(
        listeners: Listeners,
        state: &State,
        push: &Credential,
        topic: &str,
        manner: Manner<'_>,
    ) -> Result<Self, RunError> {
        let clock = Clock::start();
        let (to, batches) = mpsc::channel(BATCHES_MAX);
        let (halt, halted) = watch::channel(Halt::No);
        let (_, settled) = mpsc::channel(1);
        let (_, tokens) = mpsc::channel(1);
        let (to_seen, seen) = mpsc::channel(SEEN_MAX);
        let (count, tally) = watch::channel(Tally::default());
        let (to_webhook, webhook) = match manner.webhook {
            Some(webhook) => {
                let (to, from) = mpsc::channel(webhook::WAITING_MAX);
                (Some(to), Some((webhook, from)))
            }
            None => (None, None),
        };
        let topic: Arc<str> = Arc::from(topic);
        let lookout = Lookout::new(state.crowd.clone(), count, Some(to_seen), to_webhook);
        let scribe = Scribe::new(clock, 0, to);
        let mut admission = admission(state, &topic, clock, manner.scenario, &manner.gone);
        if let Some(scenario) = manner.scenario {
            provider_keys::trust(&mut admission, scenario)?;
        }
        let front = Front::start(FrontPlan {
            listeners,
            tls: gateway_tls(state, push, clock)?,
            admission,
            settings: settings(manner.scenario),
            clock,
            ports: Box::new(move || Ports::new(Vec::new(), scribe)),
            operator: None,
            settled,
            tokens,
            halt: halted,
            outside: Some(Outside {
                lookout,
                webhook,
                topic,
            }),
        });
        Ok(Self {
            front,
            halt,
            batches,
            waiting: Vec::new().into_iter(),
            seen,
            tally,
        })
    }

    /// The next thing to be told; `None` once the gateway has ended.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            for fact in self.waiting.by_ref() {
                if let Some(event) = of_provider(fact.kind) {
                    return Some(event);
                }
            }
            tokio::select! {
                Some(seen) = self.seen.recv() => return Some(Event::Push(Box::new(seen))),
                Some(batch) = self.batches.recv() => self.waiting = batch.facts.into_iter(),
                else => return None,
            }
        }
    }

    /// Has it end: what is under way is still answered, and told.
    pub fn halt(&self) {
        self.halt.send_replace(Halt::Everything);
    }

    /// Ends it, and gives back its counters.
    pub fn stop(self) -> Tally {
        self.halt();
        drop((self.batches, self.seen));
        if let Err(panic) = self.front.thread.join() {
            std::panic::resume_unwind(panic);
        }
        self.tally.borrow().clone()
    }
}

/// What a fact about a provider tells. Pushes are told by the lookout, with more about them.
fn of_provider(fact: FactKind) -> Option<Event> {
    if let FactKind::ProviderRefused { why } = fact {
        Some(Event::Refused(why.to_string()))
    } else if let FactKind::ProviderCut { why } = fact {
        Some(Event::Cut(why))
    } else {
        None
    }
}

fn admission(
    state: &State,
    topic: &Arc<str>,
    clock: Clock,
    scenario: Option<&Scenario>,
    gone: &[DeviceId],
) -> Admission {
    let storage = Storage {
        without_expiration: scenario.is_none_or(|it| it.apns.store_without_expiration),
        time_scale: scenario.map_or(1.0, |it| it.time_scale),
    };
    let devices = scenario.map_or(u32::MAX, Scenario::devices);
    let (crowd, topic) = (state.crowd.clone(), Arc::clone(topic));
    let mut admission = Admission::new(crowd, topic, clock.epoch(), devices, storage);
    let now = clock.epoch().wall(clock.now());
    for device in gone {
        admission.unregistered(Channel::device(*device), now);
    }
    admission
}

/// What goes wrong from the beginning, and how the service is doing. No timeline passes here.
fn settings(scenario: Option<&Scenario>) -> Settings {
    let Some(scenario) = scenario else {
        return Settings::default();
    };
    let rule = |fault: &PushFault| FaultRule {
        of: fault.of.map(|cohort| {
            let counts = scenario.cohorts.iter().map(|it| it.count);
            let first: u32 = counts.clone().take(usize::from(cohort.0)).sum();
            let count = counts.clone().nth(usize::from(cohort.0)).unwrap_or(0);
            DeviceId(first)..DeviceId(first + count)
        }),
        strikes: fault.strikes,
        fault: fault.fault.clone(),
    };
    Settings {
        seed: scenario.seed,
        service: scenario.apns.service(),
        faults: scenario.apns.faults.iter().map(rule).collect(),
        allow_hosts: scenario.apns.allow_hosts.clone(),
        ..Settings::default()
    }
}
