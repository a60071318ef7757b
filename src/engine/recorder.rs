//! The recorder: one thread that folds all facts into the ledger and writes them to the bundle.

use std::collections::VecDeque;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::bundle::Bundle;
use super::clock::Clock;
use super::scribe::Batch;
use crate::finding::{Detectors, Findings};
use crate::ids::{DeviceId, OrderIndex};
use crate::record::account::Account;
use crate::record::{Ledger, Progress};
use crate::time::SimTime;

/// What can be asked of the recorder beside taking facts.
#[derive(Debug)]
pub(super) enum Question {
    /// The devices that have an open order.
    Open(oneshot::Sender<Open>),
}

/// The open orders as of a time.
#[derive(Debug, Default)]
pub(super) struct Open {
    /// The devices that have one, in ascending order.
    pub(super) devices: Vec<DeviceId>,
    /// Every fact before this time has been seen.
    pub(super) as_of: SimTime,
}

/// How far the run is, as the recorder sees it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    /// The counts.
    pub(super) progress: Progress,
    /// Since when nothing but failures has come from the target; `None` while it answers.
    pub(super) silent_since: Option<SimTime>,
}

/// How often progress is told.
const TOLD_EVERY: Duration = Duration::from_millis(100);

/// The bundle's grain, and the plot's.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many settled orders may wait for the operator; it takes them at once.
pub(super) const SETTLED_MAX: usize = 65_536;

/// A running recorder.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) state: watch::Receiver<State>,
    pub(super) questions: mpsc::Sender<Question>,
    pub(super) thread: JoinHandle<(Account, Findings, Bundle)>,
}

impl Recorder {
    /// Starts the thread. It ends when every producer has dropped its sender.
    pub(super) fn start(
        clock: Clock,
        (ledger, detectors): (Ledger, Detectors),
        bundle: Bundle,
        producers: usize,
        batches: mpsc::Receiver<Batch>,
        settled: Option<mpsc::Sender<OrderIndex>>,
    ) -> Self {
        let (tell, state) = watch::channel(State::default());
        // One question at a time is asked, by the run.
        let (questions, asked) = mpsc::channel(1);
        let desk = Desk {
            clock,
            ledger,
            detectors,
            bundle,
            watermarks: vec![SimTime::ZERO; producers],
            settled,
            unsent: VecDeque::new(),
            told: SimTime::ZERO,
            interval_from: SimTime::ZERO,
            tell,
        };
        let thread = std::thread::Builder::new()
            .name("recorder".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build()
                    .expect("a runtime without I/O needs nothing that could be missing");
                runtime.block_on(desk.run(batches, asked))
            })
            .expect("a thread can be started");
        Self {
            state,
            questions,
            thread,
        }
    }
}

/// The recorder's state.
struct Desk {
    clock: Clock,
    ledger: Ledger,
    detectors: Detectors,
    bundle: Bundle,
    watermarks: Vec<SimTime>,
    settled: Option<mpsc::Sender<OrderIndex>>,
    unsent: VecDeque<OrderIndex>,
    told: SimTime,
    interval_from: SimTime,
    tell: watch::Sender<State>,
}

enum Event {
    Batch(Batch),
    Question(Question),
    Tick,
    End,
}

impl Desk {
    async fn run(
        mut self,
        mut batches: mpsc::Receiver<Batch>,
        mut questions: mpsc::Receiver<Question>,
    ) -> (Account, Findings, Bundle) {
        let mut tick = tokio::time::interval(TOLD_EVERY);
        let mut may_ask = true;
        loop {
            let event = tokio::select! {
                batch = batches.recv() => batch.map_or(Event::End, Event::Batch),
                question = questions.recv(), if may_ask => match question {
                    Some(question) => Event::Question(question),
                    None => { may_ask = false; continue; }
                },
                _ = tick.tick() => Event::Tick,
            };
            match event {
                Event::Batch(batch) => self.take(batch),
                Event::Question(Question::Open(answer)) => {
                    let (devices, as_of) = (self.ledger.open_devices(), self.watermark());
                    // Whoever asked may have stopped waiting.
                    let _ = answer.send(Open { devices, as_of });
                }
                Event::Tick => {}
                Event::End => break,
            }
            self.pass_on_settled();
            if self.clock.now() >= self.told + TOLD_EVERY {
                self.tell();
            }
        }
        let end = self.clock.now();
        self.end_interval(end);
        self.bundle.end_frame();
        let findings = self.detectors.finish(end);
        (self.ledger.finish(end), findings, self.bundle)
    }

    fn take(&mut self, batch: Batch) {
        for fact in &batch.facts {
            self.ledger.record(fact);
            self.detectors.record(fact);
            self.bundle.event(fact);
        }
        let before = self.watermark();
        self.watermarks[batch.producer] = batch.watermark;
        let watermark = self.watermark();
        self.ledger.advance(watermark);
        self.detectors.advance(watermark);
        if watermark > before {
            self.bundle.until(watermark);
        }
        let news = self.ledger.take_settled();
        if self.settled.is_some() {
            self.unsent.extend(news);
        }
        batch.give_back();
    }

    fn watermark(&self) -> SimTime {
        self.watermarks.iter().copied().min().unwrap_or_default()
    }

    /// Never waits: the operator may itself be waiting for the recorder.
    fn pass_on_settled(&mut self) {
        let Some(settled) = &self.settled else { return };
        while let Some(&order) = self.unsent.front() {
            match settled.try_send(order) {
                Ok(()) => drop(self.unsent.pop_front()),
                Err(mpsc::error::TrySendError::Full(_)) => return,
                Err(mpsc::error::TrySendError::Closed(_)) => {
                    self.unsent.clear();
                    self.settled = None;
                    return;
                }
            }
        }
    }

    fn tell(&mut self) {
        let now = self.clock.now();
        self.told = now;
        let state = State {
            progress: self.ledger.progress(),
            silent_since: self.ledger.silent_since(),
        };
        self.tell.send_replace(state);
        if now >= self.interval_from + INTERVAL {
            self.end_interval(now);
            self.bundle.end_frame();
        }
    }

    fn end_interval(&mut self, now: SimTime) {
        self.interval_from = now;
        let interval = self.ledger.interval_since_last(now);
        if let Ok(line) = serde_json::to_string(&interval) {
            self.bundle.interval(&line);
        }
    }
}
