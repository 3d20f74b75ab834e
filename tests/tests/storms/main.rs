//! Many faults on real servers: killed workers, signals at random moments, system calls that fail.
//!
//! `cargo test` runs the short form, a few seconds. The long form prints its counts, seeds and
//! times:
//!
//! ```sh
//! PREFORK_TESTS_STORM=1 cargo test -p prefork-tests --test storms -- --nocapture
//! ```
//!
//! `PREFORK_TESTS_SEED` replaces the seed of the run.

mod failing_calls;
mod kills;
mod random;
mod starts;

use std::time::{Duration, SystemTime};

/// Whether the long form was requested.
fn is_long() -> bool {
    std::env::var_os("PREFORK_TESTS_STORM").is_some()
}

/// The seed in `PREFORK_TESTS_SEED`.
fn requested_seed() -> Option<u64> {
    let text = std::env::var("PREFORK_TESTS_SEED").ok()?;
    Some(text.parse().expect("PREFORK_TESTS_SEED is a number"))
}

/// A seed that differs from run to run.
fn new_seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let nanos = now.expect("the clock is after 1970").as_nanos();
    u64::try_from(nanos).expect("the clock is before the year 2554")
}

/// The longest time that a stop may take. A loaded machine needs more than the grace period.
const ALLOWANCE: Duration = Duration::from_secs(15);
