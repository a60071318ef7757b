//! What this process itself uses: open sockets, CPU, and how late its timers are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::report::validity::ConnectionTally;

/// A number that several threads raise and lower, with its highest value.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<GaugeState>);

#[derive(Debug, Default)]
struct GaugeState {
    current: AtomicU64,
    highest: AtomicU64,
}

impl Gauge {
    /// Counts one until the result is dropped.
    pub fn count(&self) -> Counted {
        let current = self.0.current.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.highest.fetch_max(current, Ordering::Relaxed);
        Counted(Arc::clone(&self.0))
    }

    /// The highest it ever was.
    pub fn highest(&self) -> u64 {
        self.0.highest.load(Ordering::Relaxed)
    }
}

/// One that is being counted.
#[derive(Debug)]
pub struct Counted(Arc<GaugeState>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.current.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What connections of devices agreed on, counted by all threads.
#[derive(Clone, Debug, Default)]
pub struct Connections(Arc<ConnectionCounts>);

#[derive(Debug, Default)]
struct ConnectionCounts {
    all: AtomicU64,
    http2: AtomicU64,
    resumed: AtomicU64,
}

impl Connections {
    /// Counts one that is open now.
    pub(super) fn count(&self, is_http2: bool, is_resumed: bool) {
        self.0.all.fetch_add(1, Ordering::Relaxed);
        self.0
            .http2
            .fetch_add(u64::from(is_http2), Ordering::Relaxed);
        self.0
            .resumed
            .fetch_add(u64::from(is_resumed), Ordering::Relaxed);
    }

    /// How many there were, how many of them over HTTP/2, and how many with a resumed TLS session.
    pub fn seen(&self) -> ConnectionTally {
        ConnectionTally {
            all: self.0.all.load(Ordering::Relaxed),
            http2: self.0.http2.load(Ordering::Relaxed),
            resumed: self.0.resumed.load(Ordering::Relaxed),
        }
    }
}

/// The CPU time this process has used so far, user and system, all threads.
pub fn cpu_time() -> Duration {
    use nix::sys::resource::{UsageWho, getrusage};
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
        return Duration::ZERO;
    };
    let micros = |t: nix::sys::time::TimeVal| (t.tv_sec() * 1_000_000 + t.tv_usec()) as u64;
    Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time()))
}

/// The most memory this process has held resident, in bytes, where the system tells.
pub fn resident_max() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
