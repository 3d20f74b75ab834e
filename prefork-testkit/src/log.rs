//! The output of a server, line by line.

use std::io::{BufRead, BufReader, PipeReader};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The captured lines of stdout and stderr.
///
/// Both are the same pipe, so the lines are in the order in which they were written.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServerLog {
    shared: Arc<SharedLog>,
}

#[derive(Debug, Default)]
struct SharedLog {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct LogState {
    lines: Vec<String>,
    /// All copies of the writing end of the pipe are closed.
    has_ended: bool,
}

impl ServerLog {
    /// Reads the pipe on another thread until its writing end is closed.
    pub(crate) fn capture(reader: PipeReader) -> Self {
        let log = Self::default();
        let captured = log.clone();
        thread::spawn(move || {
            let lines = BufReader::new(reader).split(b'\n');
            for line in lines.map_while(Result::ok) {
                captured.push(String::from_utf8_lossy(&line).into_owned());
            }
            captured.end();
        });
        log
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.state().lines.clone()
    }

    /// Waits for the first matching line.
    ///
    /// `None`: no line matched within the limit or before the end.
    pub(crate) fn find(&self, limit: Duration, fits: impl Fn(&str) -> bool) -> Option<String> {
        let mut seen = 0;
        self.wait(limit, |state| {
            let new = &state.lines[seen..];
            seen = state.lines.len();
            let found = new.iter().find(|line| fits(line)).cloned();
            // After the end no line follows.
            (found.is_some() || state.has_ended).then_some(found)
        })
        .flatten()
    }

    /// Waits until `ask` has an answer. It gets all lines, and whether the log is complete.
    pub(crate) fn wait_for<T>(
        &self,
        limit: Duration,
        mut ask: impl FnMut(&[String], bool) -> Option<T>,
    ) -> Option<T> {
        self.wait(limit, |state| ask(&state.lines, state.has_ended))
    }

    /// Whether no process is left that can write to the log.
    pub(crate) fn has_ended(&self) -> bool {
        self.state().has_ended
    }

    /// Waits until the log is complete. Returns false if it is not within the limit.
    pub(crate) fn wait_for_end(&self, limit: Duration) -> bool {
        self.wait(limit, |state| state.has_ended.then_some(()))
            .is_some()
    }

    fn wait<T>(&self, limit: Duration, mut ask: impl FnMut(&LogState) -> Option<T>) -> Option<T> {
        let give_up_at = Instant::now() + limit;
        let mut state = self.state();
        loop {
            let answer = ask(&state);
            let left = give_up_at.saturating_duration_since(Instant::now());
            if answer.is_some() || left.is_zero() {
                return answer;
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn push(&self, line: String) {
        self.state().lines.push(line);
        self.shared.changed.notify_all();
    }

    fn end(&self) {
        self.state().has_ended = true;
        self.shared.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, LogState> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the log for the message of a panic.
impl std::fmt::Display for ServerLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the server's log:")?;
        let lines = self.lines();
        for line in &lines {
            write!(f, "\n  {line}")?;
        }
        if lines.is_empty() {
            f.write_str(" empty")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Write, pipe};

    use super::*;
    use crate::TIMEOUT;

    #[test]
    fn lines_are_found_when_they_arrive_and_the_search_ends_with_the_log() {
        let (reader, mut writer) = pipe().expect("free descriptors");
        let log = ServerLog::capture(reader);
        writer
            .write_all(b"one\ntwo\nthr")
            .expect("the log reads the pipe");
        assert_eq!(
            log.find(TIMEOUT, |line| line == "two"),
            Some("two".to_owned())
        );
        drop(writer);
        assert_eq!(log.find(TIMEOUT, |line| line == "four"), None);
        assert!(log.wait_for_end(TIMEOUT));
        assert_eq!(log.lines(), ["one", "two", "thr"]);
    }
}
