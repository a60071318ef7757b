//! The results bundle: a folder that is written while the run goes on, and is readable whether the
//! run ended or was killed.
//!
//! A write that fails ends nothing: the run goes on, the rest is still attempted, and the first
//! failure is reported (docs/results.md).

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::fact::Fact;

/// The most uncompressed bytes in one frame of the event log.
const FRAME_BYTES: usize = 1 << 20;

/// The compression level: far on the fast side, because the log is written while latencies are
/// measured; it leaves about a quarter of the JSON.
const LEVEL: i32 = -5;

/// What tells a bundle from a folder.
const MANIFEST: &str = "manifest.json";

/// The manifest of a run that has not ended.
const UNFINISHED: &[u8] = b"{\n  \"manifest-version\": 1,\n  \"complete\": false\n}\n";

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

/// A bundle being written.
#[derive(Debug)]
pub struct Bundle {
    folder: PathBuf,
    events: File,
    frame: Vec<u8>,
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
            events: open("events.ndjson.zst")?,
            intervals: open("intervals.ndjson")?,
            folder: folder.to_owned(),
            frame: Vec::new(),
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
        for name in ["events.ndjson.zst", "intervals.ndjson", MANIFEST] {
            let _ = fs::remove_file(folder.join(name));
        }
        let _ = fs::remove_dir(folder);
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
        // Writing to memory does not fail, and every fact has a JSON form.
        let _ = serde_json::to_writer(&mut self.frame, fact);
        self.frame.push(b'\n');
        if self.frame.len() >= FRAME_BYTES {
            self.end_frame();
        }
    }

    /// Writes the facts so far as one whole frame. Called once a second.
    pub fn end_frame(&mut self) {
        if self.frame.is_empty() {
            return;
        }
        let written = zstd::bulk::compress(&self.frame, LEVEL)
            .and_then(|frame| self.events.write_all(&frame));
        self.frame.clear();
        self.keep(written, "events.ndjson.zst");
    }

    /// Adds a line to `intervals.ndjson`.
    pub fn interval(&mut self, line: &str) {
        let written = writeln!(self.intervals, "{line}");
        self.keep(written, "intervals.ndjson");
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
