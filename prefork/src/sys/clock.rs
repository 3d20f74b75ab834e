//! The clock that is never set.

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
