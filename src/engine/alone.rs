//! The gateway alone: for `mdmstorm apns`, and for the doctor's own test push.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::authority::Credential;
use super::clock::Clock;
use super::front::{Front, FrontPlan, Listeners};
use super::operator::Halt;
use super::ports::Ports;
use super::provider_tls::gateway_tls;
use super::run::RunError;
use super::scribe::{BATCHES_MAX, Batch, Scribe};
use super::state::State;
use crate::apns::admission::{Admission, Storage};
use crate::fact::Fact;

/// A gateway without devices behind it: it answers as it would in a run, and reports each push.
#[derive(Debug)]
pub struct Alone {
    front: Front,
    halt: watch::Sender<Halt>,
    batches: mpsc::Receiver<Batch>,
    waiting: std::vec::IntoIter<Fact>,
}

impl Alone {
    /// Starts it on these listeners, for the crowd of the state folder and this push certificate.
    ///
    /// # Errors
    /// When a certificate cannot be made.
    pub fn start(
        listeners: Listeners,
        state: &State,
        push: &Credential,
        topic: &str,
    ) -> Result<Self, RunError> {
        let clock = Clock::start();
        let (to, batches) = mpsc::channel(BATCHES_MAX);
        let (halt, halted) = watch::channel(Halt::No);
        let (_, settled) = mpsc::channel(1);
        let (_, tokens) = mpsc::channel(1);
        let scribe = Scribe::new(clock, 0, to);
        let front = Front::start(FrontPlan {
            listeners,
            tls: gateway_tls(state, push, clock)?,
            admission: Admission::new(
                state.crowd.clone(),
                Arc::from(topic),
                clock.epoch(),
                u32::MAX,
                Storage {
                    without_expiration: true,
                    time_scale: 1.0,
                },
            ),
            clock,
            ports: Box::new(move || Ports::new(Vec::new(), scribe)),
            operator: None,
            settled,
            tokens,
            halt: halted,
        });
        Ok(Self {
            front,
            halt,
            batches,
            waiting: Vec::new().into_iter(),
        })
    }

    /// The next thing observed; `None` once the gateway has ended.
    pub async fn next(&mut self) -> Option<Fact> {
        loop {
            if let Some(fact) = self.waiting.next() {
                return Some(fact);
            }
            self.waiting = self.batches.recv().await?.facts.into_iter();
        }
    }

    /// Ends it.
    pub fn stop(self) {
        self.halt.send_replace(Halt::Everything);
        drop(self.batches);
        if let Err(panic) = self.front.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}
