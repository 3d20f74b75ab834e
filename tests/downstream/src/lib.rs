//! The body of the server. It is a library, so that tests can run it in their own process.

use std::io::Write;

use prefork::net::Listener;

/// Greets every client until the listener ends, and returns the number of clients.
///
/// # Errors
/// If a connection cannot be accepted.
pub fn greet(listener: &Listener) -> std::io::Result<usize> {
    let mut count = 0;
    while let Some(connection) = listener.blocking_accept() {
        let (mut stream, _) = connection?;
        // The client may have closed the connection.
        let _ = writeln!(stream, "hello from {}", std::process::id());
        count += 1;
    }
    Ok(count)
}
