//! Monotonic clocks.

use std::io;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The time since the boot of the machine.
///
/// It includes the time in which the machine was suspended, as the lifetime of a key does. In
/// another time namespace (`time_namespaces(7)`) this clock may differ, so processes in different
/// time namespaces cannot share tickets.
///
/// # Errors
/// A seccomp filter rejects the call.
pub(crate) fn since_boot() -> io::Result<Duration> {
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;
    Ok(clock_gettime(CLOCK)?.into())
}

/// The clock of `Instant` in nanoseconds; 0 if a seccomp filter rejects the call.
///
/// It stops while the machine is suspended. A signal handler may call this (`signal-safety(7)`,
/// `clock_gettime`).
pub(crate) fn monotonic_nanos() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        u64::try_from(Duration::from(time).as_nanos()).unwrap_or(u64::MAX)
    })
}
