//! Logs: warnings on standard error, everything from INFO up in the bundle's `log.txt`.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

/// The most bytes of log that wait for the bundle's folder.
const WAITING_MAX: usize = 1 << 20;

/// Where the log goes: to memory until the bundle exists, then to its file.
#[derive(Clone, Debug, Default)]
pub(super) struct LogFile(Arc<Mutex<Place>>);

#[derive(Debug)]
enum Place {
    Waiting(Vec<u8>),
    Open(File),
}

impl Default for Place {
    fn default() -> Self {
        Self::Waiting(Vec::new())
    }
}

impl LogFile {
    /// From now on the log goes to the file at `path`, what waited first.
    pub(super) fn open(&self, path: &Path) -> io::Result<()> {
        let mut file = File::create(path)?;
        let mut place = self.place();
        if let Place::Waiting(waiting) = &*place {
            file.write_all(waiting)?;
        }
        *place = Place::Open(file);
        Ok(())
    }

    fn place(&self) -> std::sync::MutexGuard<'_, Place> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.place() {
            Place::Open(file) => file.write(bytes),
            Place::Waiting(waiting) if waiting.len() < WAITING_MAX => waiting.write(bytes),
            Place::Waiting(_) => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts logging. `MDMSTORM_LOG` sets what standard error shows, `warn` by default.
pub(super) fn start() -> LogFile {
    let file = LogFile::default();
    let (ours, colours) = (file.clone(), !super::print::no_colour());
    let shown = EnvFilter::builder()
        .with_default_directive(tracing::level_filters::LevelFilter::WARN.into())
        .with_env_var("MDMSTORM_LOG")
        .from_env_lossy();
    let screen = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(colours)
        .with_target(false);
    let kept = fmt::layer()
        .with_writer(move || ours.clone())
        .with_ansi(false);
    let level = tracing::level_filters::LevelFilter::INFO;
    // A second start, as in tests, keeps the first.
    let _ = tracing_subscriber::registry()
        .with(screen.with_filter(shown))
        .with(kept.with_filter(level))
        .try_init();
    file
}
