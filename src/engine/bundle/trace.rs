//! `trace.ndjson.zst`: what the devices that somebody wants to watch said and were told, without
//! secrets.
//!
//! A worker hands over what it has redacted; one thread writes. Devices that nobody watches cost
//! nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{self, error::TryRecvError};

use super::lines::{Line, Lines};
use super::{FRAME_BYTES, LEVEL};
use crate::device::contract::Answer;
use crate::fact::Broken;
use crate::ids::{Channel, DeviceId};
use crate::protocol::redaction::{redacted, without_secrets};
use crate::time::SimTime;

/// The file's name.
pub(super) const TRACE: &str = "trace.ndjson.zst";

/// The most devices that are watched at once: enough for a bug, little enough to cost no run anything.
pub const DEVICES_MAX: usize = 100;

/// How many exchanges may wait for the disk; then their sessions wait.
const WAITING_MAX: usize = 64;

/// The most exchanges of one device that are read again.
const READ_MAX: usize = 20_000;

/// One request of a device and what came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Traced {
    /// Whose.
    pub channel: Channel,
    /// When the device wanted it: the `asked` of the exchange's fact.
    pub asked: SimTime,
    /// What it said.
    pub request: String,
    /// The HTTP status; `None` without a complete answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What came back, or why nothing did.
    pub answer: String,
}

impl Traced {
    /// Of these bodies, without secrets.
    pub fn new(
        channel: Channel,
        asked: SimTime,
        request: &[u8],
        answer: &Result<Answer, Broken>,
    ) -> Self {
        let (status, answer) = match answer {
            Ok(answer) => (Some(answer.status), redacted(&answer.body)),
            Err(broken) => (None, without_secrets(broken.to_string())),
        };
        Self {
            channel,
            asked,
            request: redacted(request),
            status,
            answer,
        }
    }
}

/// The way of a worker's sessions to the file.
#[derive(Clone, Debug)]
pub(crate) struct Tracer {
    devices: Arc<[DeviceId]>,
    to: mpsc::Sender<Traced>,
}

impl Tracer {
    /// Whether somebody watches the device.
    pub(crate) fn follows(&self, device: DeviceId) -> bool {
        self.devices.contains(&device)
    }

    /// Hands an exchange over, waiting for the disk if need be.
    pub(crate) async fn note(&self, traced: Traced) {
        // A writer that is gone has said why.
        let _ = self.to.send(traced).await;
    }
}

/// The thread that writes. It ends when every tracer is gone, and says what failed.
#[derive(Debug)]
pub(crate) struct Tracing {
    thread: JoinHandle<io::Result<()>>,
}

impl Tracing {
    /// Begins the file in `folder`.
    pub(super) fn start(folder: &Path, devices: &[DeviceId]) -> io::Result<(Tracer, Self)> {
        let mut file = TraceFile::create(folder)?;
        let (to, mut from) = mpsc::channel(WAITING_MAX);
        let thread = std::thread::Builder::new().name("trace".into());
        let thread = thread.spawn(move || {
            while let Some(traced) = from.blocking_recv() {
                file.add(&traced)?;
                // What there is goes to the disk whenever there is a pause.
                let mut pause = from.try_recv();
                while let Ok(traced) = pause {
                    file.add(&traced)?;
                    pause = from.try_recv();
                }
                if pause == Err(TryRecvError::Empty) {
                    file.end_frame()?;
                }
            }
            file.end_frame()
        })?;
        let devices = devices.into();
        Ok((Tracer { devices, to }, Self { thread }))
    }

    /// Waits until everything is written.
    pub(crate) fn join(self) -> io::Result<()> {
        let ended = self.thread.join();
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// The file, written in whole frames.
#[derive(Debug)]
pub(super) struct TraceFile {
    file: File,
    frame: Vec<u8>,
}

impl TraceFile {
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        let file = File::create_new(folder.join(TRACE))?;
        let frame = Vec::new();
        Ok(Self { file, frame })
    }

    pub(super) fn add(&mut self, traced: &Traced) -> io::Result<()> {
        serde_json::to_writer(&mut self.frame, traced)?;
        self.frame.push(b'\n');
        if self.frame.len() >= FRAME_BYTES {
            return self.end_frame();
        }
        Ok(())
    }

    pub(super) fn end_frame(&mut self) -> io::Result<()> {
        if !self.frame.is_empty() {
            self.file
                .write_all(&zstd::bulk::compress(&self.frame, LEVEL)?)?;
            self.frame.clear();
        }
        Ok(())
    }
}

/// What was traced of a device, by channel and time; nothing without a trace. A last frame that is not
/// whole is left out.
pub(super) fn read(
    folder: &Path,
    device: DeviceId,
) -> io::Result<BTreeMap<(Channel, SimTime), Traced>> {
    let mut lines = match Lines::open(&folder.join(TRACE)) {
        Ok(lines) => lines,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let mut found = BTreeMap::new();
    while let Line::Whole(line) = lines.read_line()? {
        let traced: Traced = serde_json::from_slice(line)?;
        if traced.channel.device == device && found.len() < READ_MAX {
            found.insert((traced.channel, traced.asked), traced);
        }
    }
    Ok(found)
}
