//! The messages of a server on `PREFORK_NOTIFY_FD`: its state, its pid and its listeners.
//!
//! Only the master can write them. So lines that the program prints itself cannot be taken for
//! them.

use std::io::PipeReader;
use std::time::Duration;

use prefork::ListenerInfo;

use crate::log::ServerLog;

/// The state that a message reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ServerState {
    /// The addresses are bound, and the first workers were started.
    Started,
    /// All workers are healthy.
    Ready,
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerMessage {
    pub(crate) state: ServerState,
    pub(crate) listeners: Vec<ListenerInfo>,
    /// The id of the process that wrote it, in its own PID namespace.
    pub(crate) pid: i32,
}

/// The messages that were received so far.
#[derive(Debug)]
pub(crate) struct ServerMessages(ServerLog);

impl ServerMessages {
    /// Reads the pipe on another thread until its writing end is closed.
    pub(crate) fn capture(reader: PipeReader) -> Self {
        Self(ServerLog::capture(reader))
    }

    /// Waits for the first message with at least this state.
    ///
    /// `None`: it does not come within the limit, or no process is left that could send it.
    pub(crate) fn wait_for(&self, state: ServerState, limit: Duration) -> Option<ServerMessage> {
        self.0.wait_for(limit, |lines, has_ended| {
            // An empty line ends a message. The rest of the last one may not have arrived yet.
            let mut messages: Vec<&[String]> = lines.split(String::is_empty).collect();
            messages.pop();
            let mut messages = messages.into_iter().filter_map(ServerMessage::read);
            let found = messages.find(|message| message.state >= state);
            (found.is_some() || has_ended).then_some(found)
        })?
    }
}

impl ServerMessage {
    fn read(lines: &[String]) -> Option<Self> {
        let values = |name| lines.iter().filter_map(move |line| line.strip_prefix(name));
        let state = match values("READY=").next() {
            Some("1") => ServerState::Ready,
            Some(_) | None => ServerState::Started,
        };
        Some(Self {
            state,
            listeners: values("X_LISTEN=")
                .map(|text| text.parse().ok())
                .collect::<Option<_>>()?,
            pid: values("MAINPID=").next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Write, pipe};

    use super::*;
    use crate::TIMEOUT;

    #[test]
    fn messages_are_read_in_order_and_only_when_complete() {
        let (reader, mut writer) = pipe().expect("free descriptors");
        let messages = ServerMessages::capture(reader);
        let mut write = |text: &str| writer.write_all(text.as_bytes()).expect("a reader");
        write("STATUS=starting\nMAINPID=7\nX_LISTEN=a=127.0.0.1:80\n\n");
        let listener = |text: &str| text.parse().expect(text);
        let mut expected = ServerMessage {
            state: ServerState::Started,
            listeners: vec![listener("a=127.0.0.1:80")],
            pid: 7,
        };
        let wait = |state| messages.wait_for(state, TIMEOUT);
        assert_eq!(wait(ServerState::Started), Some(expected.clone()));
        write("READY=1\nMAINPID=7\nX_LISTEN=a=127.0.0.1:80\n");
        let none = messages.wait_for(ServerState::Ready, Duration::from_millis(50));
        assert_eq!(none, None, "the message is not complete");
        write("X_LISTEN=b=tls://[::1]:81\n\nSTOPPING=1\n\n");
        expected.state = ServerState::Ready;
        expected.listeners.push(listener("b=tls://[::1]:81"));
        assert_eq!(wait(ServerState::Ready), Some(expected));
    }

    #[test]
    fn the_wait_ends_with_the_last_process_that_could_write() {
        let (reader, writer) = pipe().expect("free descriptors");
        let messages = ServerMessages::capture(reader);
        drop(writer);
        assert_eq!(messages.wait_for(ServerState::Ready, TIMEOUT), None);
    }
}
