//! Clocks that are never set.

use std::io;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The time since the machine's start, by the clock that goes on while it sleeps: a key's life is counted in the world's
/// time. In another time namespace (`time_namespaces(7)`) the clock may differ: its tickets would not be known elsewhere.
///
/// # Errors
/// A filter that withholds the call.
pub(crate) fn since_boot() -> io::Result<Duration> {
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;
    Ok(clock_gettime(CLOCK)?.into())
}

/// The nanoseconds of the clock that stops while the machine sleeps, which `Instant` reads as well.
/// May be called in a signal handler (`signal-safety(7)`, `clock_gettime`); 0 where a filter withholds the call.
pub(crate) fn monotonic_nanos() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        u64::try_from(Duration::from(time).as_nanos()).unwrap_or(u64::MAX)
    })
}
