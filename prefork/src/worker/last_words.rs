//! A panic's message and place, for the master's line about the worker's end.

use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::channel::{Channel, FromChild};

/// A server may catch panics of its handlers, thousands of them: a few a second are told.
const PER_SECOND: u32 = 5;

/// Tells the master what each panic says, then does what was done before.
pub(super) fn install(channel: &Arc<Channel>) {
    let channel = Arc::clone(channel);
    let told = Mutex::new((Instant::now(), 0_u32));
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let description = describe(info);
        super::main_end::note_panic(&description);
        if is_allowed(&told) {
            let _ = channel.send(&FromChild::Panic(description).encode());
        }
        before(info);
    }));
}

fn is_allowed(told: &Mutex<(Instant, u32)>) -> bool {
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    if now.saturating_duration_since(told.0).as_secs() >= 1 {
        *told = (now, 0);
    }
    told.1 += 1;
    told.1 <= PER_SECOND
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let message = info.payload_as_str().unwrap_or("a panic without a text");
    match info.location() {
        Some(place) => format!("panicked at {place}: {message}"),
        None => format!("panicked: {message}"),
    }
}
