//! The tasks beside those who accept: one empties the queue in a drain, one ends handshakes that take too long.

use std::sync::{Arc, Weak};
use std::task::Poll;

use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::accept_error::RETRY;
use super::admission::AskAgain;
use super::intake::{DrainOrder, Intake};
use super::reception::{Attempt, Reception, until_asked_again};

/// They go with it.
pub(super) struct Attendants {
    drain: AbortHandle,
    deadlines: AbortHandle,
}

impl Attendants {
    /// # Panics
    /// Outside of a tokio runtime with time enabled: here, in the caller, and not in a task.
    pub(super) fn of(reception: &Arc<Reception>) -> Self {
        let intake = Arc::clone(&reception.listener.intake);
        let drain = drain(intake, Arc::downgrade(reception));
        let handshakes = Arc::clone(&reception.handshakes);
        let timer = Box::pin(sleep_until(Instant::now()));
        let deadlines = async move { handshakes.keep_deadlines(timer).await };
        Self {
            drain: tokio::spawn(drain).abort_handle(),
            deadlines: tokio::spawn(deadlines).abort_handle(),
        }
    }
}

impl Drop for Attendants {
    fn drop(&mut self) {
        self.drain.abort();
        self.deadlines.abort();
    }
}

/// Empties the queue and closes the socket when the worker is asked to go, beside whoever accepts:
/// the body may be busy with what it has. Holds the listener only while it looks at it, so that a
/// listener that is dropped is closed at once.
async fn drain(intake: Arc<Intake>, reception: Weak<Reception>) {
    let drain = begun(&intake).await;
    let end = Instant::from_std(drain.until);
    while let Some(reception) = reception.upgrade() {
        let room_made = reception.handshakes.until_room();
        let ask_again = match reception.poll_queued(drain) {
            Poll::Pending => return,
            Poll::Ready(Ok(Attempt::Took)) => continue,
            Poll::Ready(Ok(Attempt::NoRoom(ask_again))) => ask_again,
            // No descriptors, most likely; what frees them is the end of other requests.
            Poll::Ready(Err(_)) => AskAgain::AtTheLatest(Instant::now() + RETRY),
        };
        drop(reception);
        until_asked_again(room_made, ask_again.no_later_than(end)).await;
    }
}

async fn begun(intake: &Intake) -> DrainOrder {
    loop {
        let begins = intake.until_drain();
        if let Some(drain) = intake.drain() {
            return drain;
        }
        begins.await;
    }
}
