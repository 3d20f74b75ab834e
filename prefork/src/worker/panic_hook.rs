//! A panic hook that sends message and location of each panic to the master, for its log lines.

use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::channel::{Channel, FromChild};

/// The maximum number of panics sent per second. A server may catch thousands of panics.
const PER_SECOND: u32 = 5;

/// Installs a panic hook that notifies the master and then calls the previous hook.
pub(super) fn install(channel: &Arc<Channel>) {
    let channel = Arc::clone(channel);
    let sent = Mutex::new((Instant::now(), 0_u32));
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let description = describe(info);
        super::main_end::note_panic(&description);
        if is_allowed(&sent) {
            let _ = channel.send(&FromChild::Panic(description).encode());
        }
        previous(info);
    }));
}

/// `sent` is the beginning of the current second and the number of panics in it.
fn is_allowed(sent: &Mutex<(Instant, u32)>) -> bool {
    let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    if now.saturating_duration_since(sent.0).as_secs() >= 1 {
        *sent = (now, 0);
    }
    sent.1 += 1;
    sent.1 <= PER_SECOND
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let message = info.payload_as_str().unwrap_or("no message");
    match info.location() {
        Some(location) => format!("panicked at {location}: {message}"),
        None => format!("panicked: {message}"),
    }
}
