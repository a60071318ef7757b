//! The results bundle: a folder that is written while the run goes on, and is readable whether the
//! run ended or was killed.
//!
//! A write that fails ends nothing: the run goes on, the rest is still attempted, and the first
//! failure is reported (docs/results.md). [`Recorded`] reads one again.

pub mod analysis;
mod lines;
pub mod log;
pub mod manifest;
pub mod names;
pub mod recorded;
pub mod trace;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use self::log::Until;
use self::manifest::Manifest;
pub use self::recorded::Recorded;
use self::trace::{TRACE, TraceFile, Traced, Tracer, Tracing};
use crate::fact::Fact;
use crate::ids::{Crowd, DeviceId};
use crate::time::SimTime;

/// The most uncompressed bytes in one frame of the event log.
const FRAME_BYTES: usize = 1 << 20;

/// The compression level: far on the fast side, because the log is written while latencies are
/// measured; it leaves about a quarter of the JSON.
const LEVEL: i32 = -5;

/// What tells a bundle from a folder.
const MANIFEST: &str = "manifest.json";

/// The manifest of a run that has not ended.
const UNFINISHED: &[u8] = b"{\n  \"manifest-version\": 2,\n  \"complete\": false\n}\n";

/// The scenario as it ran.
const SCENARIO: &str = "scenario.toml";

/// One line per fact.
const EVENTS: &str = "events.ndjson.zst";

/// One line per second.
const INTERVALS: &str = "intervals.ndjson";

/// Why a bundle cannot be begun.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The folder cannot be made or written to.
    #[error("cannot write results to {}: {source}; choose another folder with --out", path.display())]
    NotWritable {
        /// The folder or file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There are results of an earlier run.
    #[error(
        "{} already holds a results bundle; choose another folder with --out, or remove it",
        path.display()
    )]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
}

/// Packs one frame after another in the same room: that of a compressor is hundreds of kilobytes, and
/// a busy run has many frames a second.
struct Packer {
    compressor: zstd::bulk::Compressor<'static>,
    packed: Vec<u8>,
}

impl Packer {
    fn new() -> io::Result<Self> {
        Ok(Self {
            compressor: zstd::bulk::Compressor::new(LEVEL)?,
            packed: Vec::new(),
        })
    }

    /// A frame of its own with `text` in it.
    fn pack(&mut self, text: &[u8]) -> io::Result<&[u8]> {
        self.packed.clear();
        self.packed
            .reserve(zstd::zstd_safe::compress_bound(text.len()));
        self.compressor.compress_to_buffer(text, &mut self.packed)?;
        Ok(&self.packed)
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

/// A bundle being written.
#[derive(Debug)]
pub struct Bundle {
    folder: PathBuf,
    events: File,
    frame: Vec<u8>,
    packer: Packer,
    /// The latest watermark, if it is not in the log.
    until: Option<SimTime>,
    /// The devices whose words are kept.
    watched: Vec<DeviceId>,
    /// What they say on virtual time.
    words: Option<TraceFile>,
    intervals: File,
    failure: Option<String>,
}

impl Bundle {
    /// Makes the folder and the files that grow during the run.
    ///
    /// # Errors
    /// When the folder cannot be written to, or holds a bundle already.
    pub fn create(folder: &Path) -> Result<Self, BundleError> {
        let refused = |path: &Path, source| {
            let path = path.to_owned();
            BundleError::NotWritable { path, source }
        };
        fs::create_dir_all(folder).map_err(|e| refused(folder, e))?;
        if folder.join(MANIFEST).exists() {
            return Err(BundleError::Occupied {
                path: folder.to_owned(),
            });
        }
        let open = |name: &str| {
            let path = folder.join(name);
            File::create_new(&path).map_err(|e| refused(&path, e))
        };
        // A run that is killed leaves this, so that its results are known for what they are.
        fs::write(folder.join(MANIFEST), UNFINISHED).map_err(|e| refused(folder, e))?;
        Ok(Self {
            events: open(EVENTS)?,
            intervals: open(INTERVALS)?,
            folder: folder.to_owned(),
            frame: Vec::new(),
            packer: Packer::new().map_err(|e| refused(&folder.join(EVENTS), e))?,
            until: None,
            watched: Vec::new(),
            words: None,
            failure: None,
        })
    }

    /// Takes back a bundle of a run that did not begin: the folder too, if nothing else is in it.
    pub fn discard(self) {
        let Self {
            folder,
            events,
            intervals,
            ..
        } = self;
        drop((events, intervals));
        for name in [EVENTS, INTERVALS, MANIFEST] {
            let _ = fs::remove_file(folder.join(name));
        }
        let _ = fs::remove_dir(folder);
    }

    /// Says whose run it is, before the first device: what there is of a run that is killed can be
    /// read all the same.
    pub fn begin(&mut self, manifest: &Manifest, scenario: &str, crowd: &Crowd, devices: u32) {
        self.file(SCENARIO, scenario.as_bytes());
        let written = names::write(&self.folder, crowd, devices);
        self.keep(written, names::NAMES);
        self.file(MANIFEST, manifest.json().as_bytes());
    }

    /// Completes it: what is written after this is not counted.
    pub fn end(&mut self, manifest: &Manifest) {
        let written = self.words.as_mut().map_or(Ok(()), TraceFile::end_frame);
        self.keep(written, TRACE);
        self.file(MANIFEST, manifest.json().as_bytes());
    }

    /// Keeps what these devices say and are told. Call it before the run.
    pub fn watch(&mut self, devices: Vec<DeviceId>) {
        self.watched = devices;
    }

    /// Starts to write what the watched devices say; `None` when nobody is watched, or nothing can be
    /// written.
    pub(super) fn trace(&mut self) -> Option<(Tracer, Tracing)> {
        if self.watched.is_empty() {
            return None;
        }
        match Tracing::start(&self.folder, &self.watched) {
            Ok(started) => Some(started),
            Err(error) => {
                self.keep(Err(error), TRACE);
                None
            }
        }
    }

    /// Takes note of how writing what devices said came out.
    pub(super) fn traced(&mut self, written: io::Result<()>) {
        self.keep(written, TRACE);
    }

    /// Keeps what a watched device said on virtual time, which has no thread of its own.
    pub fn exchanged(&mut self, traced: &Traced) {
        let file = match self.words.take() {
            Some(file) => Ok(file),
            None => TraceFile::create(&self.folder),
        };
        let written = file.and_then(|mut file| {
            file.add(traced)?;
            self.words = Some(file);
            Ok(())
        });
        self.keep(written, TRACE);
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The first write that failed.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Adds a fact to the event log.
    pub fn event(&mut self, fact: &Fact) {
        // Before the fact, and not when it was promised: without facts there is nothing to promise.
        if let Some(until) = self.until.take() {
            let _ = serde_json::to_writer(&mut self.frame, &Until { until });
            self.frame.push(b'\n');
        }
        // Writing to memory does not fail, and every fact has a JSON form.
        let _ = serde_json::to_writer(&mut self.frame, fact);
        self.frame.push(b'\n');
        if self.frame.len() >= FRAME_BYTES {
            self.end_frame();
        }
    }

    /// Notes that every fact before `watermark` is in the event log; a reader settles its accounts
    /// where the run did.
    pub const fn until(&mut self, watermark: SimTime) {
        self.until = Some(watermark);
    }

    /// Writes the facts so far as one whole frame. Called once a second.
    pub fn end_frame(&mut self) {
        if self.frame.is_empty() {
            return;
        }
        let packed = self.packer.pack(&self.frame);
        let written = packed.and_then(|packed| self.events.write_all(packed));
        self.frame.clear();
        self.keep(written, EVENTS);
    }

    /// Adds a line to `intervals.ndjson`.
    pub fn interval(&mut self, line: &str) {
        let written = writeln!(self.intervals, "{line}");
        self.keep(written, INTERVALS);
    }

    /// Writes a whole file: beside its place first, then moved there, so that it is never seen
    /// half-written.
    pub fn file(&mut self, name: &str, content: &[u8]) {
        let part = self.folder.join(format!(".{name}.part"));
        let written =
            fs::write(&part, content).and_then(|()| fs::rename(&part, self.folder.join(name)));
        if written.is_err() {
            let _ = fs::remove_file(&part);
        }
        self.keep(written, name);
    }

    fn keep(&mut self, written: io::Result<()>, name: &str) {
        if let (Err(error), None) = (written, &self.failure) {
            let path = self.folder.join(name);
            tracing::warn!(%error, path = %path.display(), "a part of the results is lost");
            self.failure = Some(format!("{}: {error}", path.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::FactKind;
    use crate::time::SimTime;

    #[test]
    fn the_event_log_is_a_line_per_fact_in_whole_frames() {
        let folder = tempfile::tempdir().unwrap();
        let mut bundle = Bundle::create(folder.path()).unwrap();
        let facts = [1, 2].map(|at| Fact {
            at: SimTime::from_secs(at),
            kind: FactKind::TimeZero,
        });
        bundle.event(&facts[0]);
        bundle.end_frame();
        bundle.event(&facts[1]);
        bundle.end_frame();
        let log = File::open(folder.path().join("events.ndjson.zst")).unwrap();
        let text = io::read_to_string(zstd::Decoder::new(log).unwrap()).unwrap();
        let read: Vec<Fact> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(read, facts);
    }

    #[test]
    fn a_watermark_stands_before_the_next_fact_and_never_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut bundle = Bundle::create(folder.path()).unwrap();
        let facts = [1, 5].map(|at| Fact {
            at: SimTime::from_secs(at),
            kind: FactKind::TimeZero,
        });
        bundle.event(&facts[0]);
        bundle.until(SimTime::from_secs(2));
        bundle.until(SimTime::from_secs(3));
        bundle.event(&facts[1]);
        bundle.until(SimTime::from_secs(9));
        bundle.end_frame();
        let read = log::EventLog::open(folder.path()).unwrap();
        let read: Vec<log::Entry> = read.map(Result::unwrap).collect();
        let [first, second] = facts.map(log::Entry::Fact);
        let until = log::Entry::Until(SimTime::from_secs(3));
        assert_eq!(read, [first, until, second]);
    }

    #[test]
    fn a_folder_with_results_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        Bundle::create(folder.path())
            .unwrap()
            .file("manifest.json", b"{}");
        assert!(matches!(
            Bundle::create(folder.path()),
            Err(BundleError::Occupied { .. })
        ));
    }
}
