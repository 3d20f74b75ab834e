//! The body of the server, apart from `main`, so that tests can run it in their own process.

use std::io::Write;

use prefork::net::Listener;

/// Greets everybody who connects, until the listener ends; returns how many they were.
///
/// # Errors
/// A connection could not be accepted.
pub fn greet(listener: &Listener) -> std::io::Result<usize> {
    let mut count = 0;
    while let Some(connection) = listener.blocking_accept() {
        let (mut stream, _) = connection?;
        // A client that has gone already misses nothing.
        let _ = writeln!(stream, "hello from {}", std::process::id());
        count += 1;
    }
    Ok(count)
}
