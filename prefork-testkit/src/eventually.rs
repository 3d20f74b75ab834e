//! Waiting until a fact is true.

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for a fact before it fails: 30 seconds.
///
/// It is a limit for facts that never become true, not an expected duration.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// The pause between two calls of the function that is asked.
const PAUSE: Duration = Duration::from_millis(5);

/// Calls a function until it returns `Some`, and returns the value.
///
/// `what` describes the expected fact in the message of the panic.
///
/// # Panics
/// If the function has not returned `Some` within [`TIMEOUT`].
///
/// # Examples
/// ```
/// use prefork_testkit::eventually;
///
/// let mut asked = 0;
/// let answer = eventually("the third question", || {
///     asked += 1;
///     (asked == 3).then_some("answered")
/// });
/// assert_eq!(answer, "answered");
/// ```
#[track_caller]
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    match within(TIMEOUT, ask) {
        Some(answer) => answer,
        None => panic!("timed out after {}s: waiting for {what}", TIMEOUT.as_secs()),
    }
}

/// Calls a function until it returns `Some` or the time is over, at least once.
pub(crate) fn within<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let give_up_at = Instant::now() + limit;
    loop {
        let answer = ask();
        if answer.is_some() || Instant::now() >= give_up_at {
            return answer;
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_function_is_called_once_even_if_the_limit_is_zero() {
        assert_eq!(within(Duration::ZERO, || Some(1)), Some(1));
        assert_eq!(within(Duration::ZERO, || None::<u8>), None);
    }
}
