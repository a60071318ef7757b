//! What a run's own recorder made of its facts, made of them again.

use super::log::Entry;
use super::recorded::{ReadError, Recorded};
use crate::fact::Fact;
use crate::finding::Findings;
use crate::ids::DeviceId;
use crate::record::account::Account;
use crate::time::SimTime;

/// A bundle's facts, folded.
#[derive(Debug)]
pub struct Analysis {
    /// The ledger's account.
    pub account: Account,
    /// Rules that the server broke.
    pub findings: Findings,
    /// How many facts there were.
    pub facts: u64,
    /// Whether the end of the log is missing.
    pub is_cut: bool,
}

impl Analysis {
    /// Folds all facts of `recorded`; `look` sees each of them.
    ///
    /// # Errors
    /// When the log cannot be read, or has a line that is no fact.
    pub fn of(recorded: &Recorded, look: impl FnMut(&Fact)) -> Result<Self, ReadError> {
        Self::following(recorded, None, look)
    }

    /// The same, with the lives of the commands of one device.
    ///
    /// # Errors
    /// As [`Analysis::of`].
    pub fn following(
        recorded: &Recorded,
        device: Option<DeviceId>,
        mut look: impl FnMut(&Fact),
    ) -> Result<Self, ReadError> {
        let (mut ledger, mut detectors) = recorded.folds();
        if let Some(device) = device {
            ledger.follow(device);
        }
        let mut log = recorded.events()?;
        let (mut facts, mut last) = (0, SimTime::ZERO);
        for entry in &mut log {
            match entry? {
                Entry::Fact(fact) => {
                    facts += 1;
                    last = last.max(fact.at);
                    look(&fact);
                    ledger.record(&fact);
                    detectors.record(&fact);
                }
                Entry::Until(watermark) => {
                    last = last.max(watermark);
                    ledger.advance(watermark);
                    // Nobody wants them here; they would pile up.
                    drop(ledger.take_settled());
                    detectors.advance(watermark);
                }
            }
        }
        let end = recorded.manifest.end.as_ref();
        let end = end.map_or(last, |end| SimTime::from_micros(end.lasted_us));
        let mut account = ledger.finish(end);
        account.intervals = recorded.intervals();
        Ok(Self {
            account,
            findings: detectors.finish(end),
            facts,
            is_cut: log.is_cut(),
        })
    }
}
