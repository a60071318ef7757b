//! Rounds: the same work by turns on the floor and by mdmstorm, so that what disturbs the machine
//! disturbs both, and what came out of it as a table.

#![allow(dead_code, reason = "each bench uses a part of this")]

use std::time::Duration;

use mdmstorm::engine::health::cpu_time;

/// How often each side has its turn.
pub(crate) const ROUNDS: usize = 5;

/// Microseconds per operation, round by round.
#[derive(Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    /// Adds a round of `count` operations that took `cpu`.
    pub(crate) fn add(&mut self, cpu: Duration, count: u32) {
        self.0.push(cpu.as_secs_f64() * 1e6 / f64::from(count));
    }

    /// The rounds in ascending order.
    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    fn row(&self, name: &str, note: &str) {
        let sorted = self.sorted();
        let (min, max) = (sorted[0], sorted[sorted.len() - 1]);
        let median = sorted[sorted.len() / 2];
        println!("  {name:<34} {min:>9.2} {median:>9.2} {max:>9.2}   {note}");
    }
}

/// The floor's rounds and ours.
#[derive(Default)]
pub(crate) struct Rounds {
    pub(crate) floor: Series,
    pub(crate) ours: Series,
}

impl Rounds {
    /// The ratio of each round, as a series.
    fn ratios(&self) -> Series {
        let pairs = self.ours.0.iter().zip(&self.floor.0);
        Series(pairs.map(|(ours, floor)| ours / floor).collect())
    }

    /// Prints both sides and their ratio beside the target.
    pub(crate) fn print(&self, title: &str, floor_note: &str, target: &str) {
        heading(title);
        self.floor.row("floor", floor_note);
        self.ours.row("mdmstorm", "");
        self.ratios().row("ratio", target);
    }
}

/// Prints the head of a table.
pub(crate) fn heading(title: &str) {
    println!("\n{title}");
    println!("  {:<34} {:>9} {:>9} {:>9}", "", "min", "median", "max");
}

/// Prints one series alone.
pub(crate) fn print_alone(name: &str, series: &Series, note: &str) {
    series.row(name, note);
}

/// The CPU this process spends on `work`, all threads, user and system.
pub(crate) fn cpu_of(work: impl FnOnce()) -> Duration {
    let before = cpu_time();
    work();
    cpu_time() - before
}

/// Keeps this process and the threads it will start on one core: the first for the toy, the last for
/// what is measured. Does nothing on a machine with one.
pub(crate) fn pin(to: Core) {
    use nix::sched::{CpuSet, sched_setaffinity};
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        return;
    }
    let mut set = CpuSet::new();
    let core = match to {
        Core::First => 0,
        Core::Last => cores - 1,
    };
    if set.set(core).is_err() || sched_setaffinity(nix::unistd::Pid::from_raw(0), &set).is_err() {
        println!("not pinned: the system refused");
    }
}

/// Which core.
#[derive(Clone, Copy)]
pub(crate) enum Core {
    First,
    Last,
}
