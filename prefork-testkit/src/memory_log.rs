//! A logger that stores the log lines of a master, for assertions.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prefork::{Level, LogLine};

use crate::TIMEOUT;
use crate::eventually::within;

/// Stores the log lines of a master in the test's process.
///
/// Clones share the lines.
///
/// # Examples
/// ```
/// use prefork::{Level, Prefork};
/// use prefork_testkit::{Behavior, ScriptedChildren, MemoryLog};
///
/// let log = MemoryLog::new();
/// let children = ScriptedChildren::scripted(|start| match start.nth {
///     0 => Behavior::Exit(7),
///     _ => Behavior::Live,
/// });
/// let master = Prefork::new()
///     .workers(1)
///     .child_producer(children.producer())
///     .logger(log.logger())
///     .start()
///     .expect("the master starts");
/// let line = log.wait_for(|line| line.text.contains("exited with status 7"));
/// assert_eq!(line.level, Level::Error);
/// # master.stop();
/// # master.wait().expect("a requested stop is not an error");
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryLog {
    lines: Arc<Mutex<Vec<CapturedLine>>>,
}

/// A log line that a [`MemoryLog`] has stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CapturedLine {
    /// The level of the line.
    pub level: Level,
    /// The text of the line, without the prefix `prefork: ` that the line has on stderr.
    pub text: String,
}

impl MemoryLog {
    /// Creates an empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the function for [`Prefork::logger`](prefork::Prefork::logger).
    pub fn logger(&self) -> impl FnMut(&LogLine<'_>) + Send + 'static {
        let log = self.clone();
        move |line| {
            let captured = CapturedLine {
                level: line.level(),
                text: line.to_string(),
            };
            log.lock().push(captured);
        }
    }

    /// Returns all lines so far, in order.
    pub fn lines(&self) -> Vec<CapturedLine> {
        self.lock().clone()
    }

    /// Waits for the first matching line and returns it.
    ///
    /// Lines that were logged before the call match too.
    ///
    /// # Panics
    /// If no line matches within [`TIMEOUT`]. The message contains all lines.
    #[track_caller]
    pub fn wait_for(&self, mut fits: impl FnMut(&CapturedLine) -> bool) -> CapturedLine {
        let mut seen = 0;
        let found = within(TIMEOUT, || {
            let lines = self.lock();
            let found = lines[seen..].iter().find(|line| fits(line)).cloned();
            seen = lines.len();
            found
        });
        found.unwrap_or_else(|| {
            let seconds = TIMEOUT.as_secs();
            panic!("no matching log line within {seconds}s; {self}")
        })
    }

    /// Locks the lines. A panic of the test while it holds the lock leaves them intact.
    fn lock(&self) -> MutexGuard<'_, Vec<CapturedLine>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the log for the message of a panic.
impl fmt::Display for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the master's log:")?;
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

/// Writes the line as `Error: worker 0 …`.
impl fmt::Display for CapturedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.level, self.text)
    }
}
