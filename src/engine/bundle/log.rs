//! `events.ndjson.zst`, read again: facts and watermarks in the order in which the recorder took them.
//!
//! One thread unpacks and parses while the caller folds.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};

use super::EVENTS;
use super::lines::{Line, Lines};
use crate::fact::Fact;
use crate::time::SimTime;

/// A watermark, as a line of the log: every fact before it stands above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Until {
    pub(super) until: SimTime,
}

/// How a watermark's line begins; a fact's begins with its time.
const UNTIL: &[u8] = b"{\"until\":";

/// One line of the log.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// Something that was observed.
    Fact(Fact),
    /// Every fact before this time stands above.
    Until(SimTime),
}

/// Why an event log cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file.
    #[error("cannot read {} after line {line}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The last line that could be read.
        line: u64,
        /// What the system or the decoder says.
        source: io::Error,
    },
    /// A line.
    #[error("line {line} of {} is no fact: {why}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
}

/// How many lines go from one thread to the other at once, and how often.
const BATCH_LINES: usize = 4_096;
const BATCHES_MAX: usize = 8;

/// What the reading thread says.
#[derive(Debug)]
enum Word {
    Lines(Vec<Entry>),
    /// The last frame is not whole.
    Cut,
    Wrong(LogError),
}

/// The facts of a bundle, one after another.
#[derive(Debug)]
pub struct EventLog {
    words: Option<Receiver<Word>>,
    lines: std::vec::IntoIter<Entry>,
    is_cut: bool,
    thread: Option<JoinHandle<()>>,
}

impl EventLog {
    /// Begins to read the log of the bundle in `folder`.
    ///
    /// # Errors
    /// When there is none, or it cannot be opened.
    pub fn open(folder: &Path) -> Result<Self, LogError> {
        let path = folder.join(EVENTS);
        let unreadable = |source| {
            let (path, line) = (path.clone(), 0);
            LogError::Unreadable { path, line, source }
        };
        let text = Lines::open(&path).map_err(unreadable)?;
        let (to, words) = sync_channel(BATCHES_MAX);
        let reading = Reading {
            text,
            line: 0,
            path: path.clone(),
            to,
        };
        let thread = std::thread::Builder::new().name("log".into());
        let thread = thread.spawn(move || reading.run()).map_err(unreadable)?;
        Ok(Self {
            words: Some(words),
            lines: Vec::new().into_iter(),
            is_cut: false,
            thread: Some(thread),
        })
    }

    /// Whether the last frame was not whole, as a run leaves it that is killed. Known at the end.
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }
}

impl Iterator for EventLog {
    type Item = Result<Entry, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.lines.next() {
                return Some(Ok(entry));
            }
            let Ok(word) = self.words.as_ref()?.recv() else {
                self.words = None;
                if let Some(thread) = self.thread.take()
                    && let Err(panic) = thread.join()
                {
                    std::panic::resume_unwind(panic);
                }
                return None;
            };
            match word {
                Word::Lines(lines) => self.lines = lines.into_iter(),
                Word::Cut => self.is_cut = true,
                Word::Wrong(error) => {
                    self.words = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// The reading thread. It ends with the log, or when nobody listens.
struct Reading {
    text: Lines,
    line: u64,
    path: PathBuf,
    to: SyncSender<Word>,
}

impl Reading {
    fn run(mut self) {
        let mut lines = Vec::with_capacity(BATCH_LINES);
        let last = loop {
            let said = match self.text.read_line() {
                Ok(Line::Whole(line)) => entry(line),
                Ok(Line::End) => break None,
                Ok(Line::Cut) => break Some(Word::Cut),
                Err(source) => {
                    let (path, line) = (self.path.clone(), self.line);
                    break Some(Word::Wrong(LogError::Unreadable { path, line, source }));
                }
            };
            self.line += 1;
            match said {
                Ok(entry) => lines.push(entry),
                Err(why) => {
                    let (path, line) = (self.path.clone(), self.line);
                    break Some(Word::Wrong(LogError::Line { path, line, why }));
                }
            }
            if lines.len() == BATCH_LINES {
                let full = std::mem::replace(&mut lines, Vec::with_capacity(BATCH_LINES));
                if self.to.send(Word::Lines(full)).is_err() {
                    return;
                }
            }
        };
        // Nobody listens any more: then nobody misses it.
        let _ = self.to.send(Word::Lines(lines));
        if let Some(last) = last {
            let _ = self.to.send(last);
        }
    }
}

/// What a line says.
fn entry(line: &[u8]) -> Result<Entry, String> {
    let read = if line.starts_with(UNTIL) {
        serde_json::from_slice(line).map(|it: Until| Entry::Until(it.until))
    } else {
        serde_json::from_slice(line).map(Entry::Fact)
    };
    read.map_err(|error| error.to_string())
}
