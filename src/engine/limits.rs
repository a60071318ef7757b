//! What this machine allows, and whether a run fits into it: checked before the first device.

use super::gateway::CONNECTIONS_MAX;

/// Descriptors kept for listeners, files, the runtime, and the connections of providers through
/// both doors of the gateway.
const RESERVED: u64 = 128 + 2 * CONNECTIONS_MAX as u64;

/// Fewer device sockets than this make no sense.
const SOCKETS_MIN: u64 = 64;

/// Resident bytes a device needs at most while it rests, and what a run needs beside them.
const DEVICE_BYTES: u64 = 1_500;
const BASE_BYTES: u64 = 64 << 20;

/// Bytes an order needs from plan to settlement, with its facts.
const ORDER_BYTES: u64 = 400;

/// What this machine allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open files at most, after raising the soft limit as far as it goes.
    pub descriptors: u64,
    /// Cores.
    pub cores: usize,
    /// Memory that is free to use, in bytes, where the system tells.
    pub memory: Option<u64>,
    /// Ports a connection may come from, where the system tells.
    pub ports: Option<u64>,
}

/// Why a run does not fit.
#[derive(Debug, thiserror::Error)]
pub enum LimitsError {
    /// Too few descriptors.
    #[error(
        "this process may open {have} files, but a run needs at least {need}; \
         raise the limit with `ulimit -n {need}`"
    )]
    Descriptors {
        /// How many it may open.
        have: u64,
        /// How many it needs.
        need: u64,
    },
    /// Too little memory.
    #[error(
        "{devices} devices and {orders} orders need about {need_mib} MiB of memory, but \
         {have_mib} MiB are free; lower the counts or split the run over machines"
    )]
    Memory {
        /// Devices.
        devices: u64,
        /// Orders.
        orders: u64,
        /// MiB needed.
        need_mib: u64,
        /// MiB free.
        have_mib: u64,
    },
}

impl Limits {
    /// Looks at this machine, and raises the soft limit of open files to the hard one.
    pub fn of_this_machine() -> Self {
        let descriptors = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let memory = std::fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|text| {
                let line = text
                    .lines()
                    .find(|line| line.starts_with("MemAvailable:"))?;
                Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
            });
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
        let ports = range.and_then(|text| {
            let mut ends = text.split_whitespace().map(str::parse::<u64>);
            let (low, high) = (ends.next()?.ok()?, ends.next()?.ok()?);
            Some(high.saturating_sub(low) + 1)
        });
        Self {
            descriptors,
            cores,
            memory,
            ports,
        }
    }

    /// How many sockets devices may have open at once, beside so many admin requests in flight.
    pub fn sockets(&self, in_flight: usize) -> u64 {
        self.descriptors.saturating_sub(RESERVED + in_flight as u64)
    }

    /// Whether a run of this size fits.
    ///
    /// # Errors
    /// What is missing, with the numbers.
    pub fn check(&self, devices: u64, orders: u64, in_flight: usize) -> Result<(), LimitsError> {
        if self.sockets(in_flight) < SOCKETS_MIN {
            let need = RESERVED + in_flight as u64 + SOCKETS_MIN;
            return Err(LimitsError::Descriptors {
                have: self.descriptors,
                need,
            });
        }
        let need = memory_needed(devices, orders);
        match self.memory {
            Some(have) if have < need => Err(LimitsError::Memory {
                devices,
                orders,
                need_mib: need >> 20,
                have_mib: have >> 20,
            }),
            Some(_) | None => Ok(()),
        }
    }
}

/// The memory a run of this size needs, in bytes: an estimate from the benches.
pub fn memory_needed(devices: u64, orders: u64) -> u64 {
    BASE_BYTES + devices * DEVICE_BYTES + orders * ORDER_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_does_not_fit_is_refused_with_the_numbers() {
        let machine = Limits {
            descriptors: 256,
            cores: 2,
            memory: Some(1 << 30),
            ports: Some(28_232),
        };
        let error = machine.check(10, 10, 256).unwrap_err().to_string();
        assert!(
            error.contains("may open 256 files") && error.contains("ulimit -n 1472"),
            "{error}"
        );
        let machine = Limits {
            descriptors: 20_000,
            ..machine
        };
        assert!(machine.check(1_000, 5_000, 256).is_ok());
        let error = machine.check(10_000_000, 0, 256).unwrap_err().to_string();
        assert!(error.contains("1024 MiB are free"), "{error}");
    }
}
