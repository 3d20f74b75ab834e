//! The output of all log lines of the master.
//!
//! No line may block the loop, whether or not stderr has a reader.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::log_backend::Backend;
use super::notice::Notice;
use super::{LogLine, notify};
use crate::error::Error;
use crate::sys;

/// The `logger` function of the user.
pub(crate) type Logger = Box<dyn FnMut(&LogLine) + Send>;

/// Whether a logger got the reason why its master ended.
static FATAL_LOGGED: AtomicBool = AtomicBool::new(false);

/// The destination of the log lines of a master.
///
/// This is the `logger` of the user, else the installed backend, else stderr.
#[derive(Default)]
pub(crate) struct Log {
    logger: Option<Logger>,
    /// The logger or backend panicked: no backend is called any more.
    has_panicked: bool,
}

/// The number of dropped lines, reported before the next line that is written.
///
/// A process has one stderr: the logs of all its masters and the last line of the process share the
/// count.
static LOST: LostLines = LostLines(Mutex::new(0));

struct LostLines(Mutex<u64>);

impl LostLines {
    /// Writes one line, after a notice about lines that were dropped before it.
    fn write(&self, text: &str, mut write: impl FnMut(&[u8]) -> io::Result<()>) {
        let mut lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *lost > 0 {
            let plural = if *lost == 1 { "" } else { "s" };
            let notice = format!("prefork: {lost} log line{plural} dropped: stderr was blocked\n");
            if write(notice.as_bytes()).is_err() {
                *lost += 1;
                return;
            }
            *lost = 0;
        }
        if write(format!("prefork: {text}\n").as_bytes()).is_err() {
            *lost += 1;
        }
    }
}

/// The result of giving a line to the logger or the backend.
enum Delivery {
    Delivered,
    NoBackend,
    /// The name of what panicked; no backend is called any more.
    Panicked(&'static str),
}

fn panicked(name: &str) -> String {
    format!("{name} panicked; log lines are written to stderr from now on")
}

impl Log {
    pub(crate) fn new(logger: Option<Logger>) -> Self {
        Self {
            logger,
            ..Self::default()
        }
    }

    /// Logs this notice, and sends it to the service manager.
    pub(crate) fn report(&mut self, notice: &Notice<'_>) {
        self.notice(notice);
        for failure in notify::send(notice) {
            self.notice(&Notice::NotifyFailed(&failure));
        }
    }

    /// Logs the line of this notice, if it has one.
    pub(crate) fn notice(&mut self, notice: &Notice<'_>) {
        if let Some(line) = LogLine::of(notice) {
            self.line(&line);
        }
    }

    fn line(&mut self, line: &LogLine) {
        match self.deliver(line) {
            Delivery::Delivered => {}
            Delivery::NoBackend => self.write(line.text()),
            Delivery::Panicked(name) => {
                // Neither this line nor later ones are lost.
                self.write(line.text());
                self.write(&panicked(name));
            }
        }
    }

    /// Gives the error to the `logger` of the user, if there is one; returns `result`.
    ///
    /// The last line of a process is too late for this: a builder returns the error to the program
    /// first, and the logger ends with the master. Without a logger, [`fatal`](Self::fatal) logs
    /// the error.
    ///
    /// # Errors
    /// The error in `result`.
    pub(crate) fn log_error<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if let (Err(error), true) = (&result, self.logger.is_some()) {
            FATAL_LOGGED.store(true, Ordering::Release);
            self.notice(&Notice::Failed(error));
        }
        result
    }

    /// Logs the reason why this process ends.
    ///
    /// The line is always written to stderr: a backend may filter it, or may have been shut down.
    /// The backend does not get it if a logger got it, because a logger may forward lines to that
    /// backend.
    pub(crate) fn fatal(error: &Error) {
        let mut log = Self::default();
        let Some(line) = LogLine::of(&Notice::Failed(error)) else {
            return;
        };
        log.write(line.text());
        if FATAL_LOGGED.load(Ordering::Acquire) {
            return;
        }
        match log.deliver(&line) {
            Delivery::Delivered | Delivery::NoBackend => {}
            Delivery::Panicked(name) => log.write(&panicked(name)),
        }
    }

    fn deliver(&mut self, line: &LogLine) -> Delivery {
        let (name, result) = if let Some(logger) = &mut self.logger {
            let result = catch_unwind(AssertUnwindSafe(|| logger(line)));
            ("the logger", result)
        } else if let Some(backend) = self.backend() {
            let result = catch_unwind(AssertUnwindSafe(|| backend.emit(line)));
            (backend.name(), result)
        } else {
            return Delivery::NoBackend;
        };
        if result.is_ok() {
            return Delivery::Delivered;
        }
        self.logger = None;
        self.has_panicked = true;
        Delivery::Panicked(name)
    }

    /// Looks up the backend, for every line.
    ///
    /// The program may install one later, or on one thread only.
    fn backend(&self) -> Option<Backend> {
        if self.has_panicked {
            return None;
        }
        Backend::installed()
    }

    #[expect(clippy::unused_self, reason = "part of the interface of the log")]
    fn write(&self, text: &str) {
        LOST.write(text, sys::stderr::write_now);
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("has_panicked", &self.has_panicked)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::Level;
    use super::super::notice::{UnreapedCause, WorkerProcess, WorkerRole};
    use super::*;

    #[test]
    fn a_logger_gets_the_lines_with_their_level_and_values() {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&kept);
        let mut log = Log::new(Some(Box::new(move |line| {
            let entry = (line.level(), line.to_string(), line.slot());
            keep.lock().expect("no holder panics").push(entry);
        })));
        log.notice(&Notice::MasterReady {
            pids: vec![7],
            listeners: &[],
        });
        log.notice(&Notice::StartWarning("b\n"));
        log.notice(&Notice::WorkerUnreaped {
            worker: WorkerProcess {
                slot: 3,
                pid: 7,
                role: WorkerRole::Worker,
            },
            cause: UnreapedCause::WaitFailed(io::Error::other("no")),
        });
        let kept = kept.lock().expect("no holder panics");
        let expected = [
            (Level::Warn, "b\\n".to_owned(), None),
            (
                Level::Error,
                "worker 3 (pid 7) exited, but waitid failed: no".to_owned(),
                Some(3),
            ),
        ];
        assert_eq!(*kept, expected);
    }

    #[test]
    fn dropped_lines_are_counted_until_a_line_is_written() {
        let lost = LostLines(Mutex::new(0));
        let full = |_: &[u8]| Err(io::ErrorKind::WouldBlock.into());
        lost.write("a", full);
        lost.write("b", full);
        let mut written = String::new();
        lost.write("the end", |line| {
            written.push_str(&String::from_utf8_lossy(line));
            Ok(())
        });
        // The second line was not even tried: its notice failed.
        assert_eq!(
            written,
            "prefork: 2 log lines dropped: stderr was blocked\nprefork: the end\n"
        );
        assert_eq!(*lost.0.lock().expect("no holder panics"), 0);
    }

    #[test]
    fn a_logger_that_panics_does_not_stop_the_master() {
        let mut log = Log::new(Some(Box::new(|_| panic!("out of ink"))));
        log.notice(&Notice::StartWarning("a line for stderr"));
        assert!(log.logger.is_none());
    }
}
