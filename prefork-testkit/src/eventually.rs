//! Waiting for a fact.

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for a fact before it fails: a limit for what never comes, not an
/// expectation.
pub const LIMIT: Duration = Duration::from_secs(30);

/// How often it is asked meanwhile.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks until there is an answer.
///
/// # Panics
/// When there is none within [`LIMIT`], with what was waited for.
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
    match within(LIMIT, ask) {
        Some(answer) => answer,
        None => panic!("waited {} s in vain for {what}", LIMIT.as_secs()),
    }
}

/// Asks until there is an answer or the time is over; at least once.
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
    fn it_asks_once_even_when_there_is_no_time() {
        assert_eq!(within(Duration::ZERO, || Some(1)), Some(1));
        assert_eq!(within(Duration::ZERO, || None::<u8>), None);
    }
}
