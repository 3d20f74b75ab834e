//! A logger that keeps the master's lines for assertions.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prefork::{Level, LogLine};

use crate::LIMIT;
use crate::eventually::within;

/// Keeps what a master in the test's own process logs. Clones share the lines.
///
/// # Examples
/// ```
/// use prefork::{Level, Prefork};
/// use prefork_testkit::{Behaviour, Children, MemoryLog};
///
/// let log = MemoryLog::new();
/// let children = Children::choosing(|start| match start.nth {
///     0 => Behaviour::Exit(7),
///     _ => Behaviour::Live,
/// });
/// let master = Prefork::new()
///     .workers(1)
///     .child_producer(children.producer())
///     .logger(log.logger())
///     .start()
///     .expect("it can be started");
/// let line = log.wait_for(|line| line.text.contains("exited with status 7"));
/// assert_eq!(line.level, Level::Error);
/// # master.stop();
/// # master.wait().expect("it was asked to stop");
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryLog {
    lines: Arc<Mutex<Vec<KeptLine>>>,
}

/// A line that a [`MemoryLog`] has kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLine {
    /// How much it should be noticed.
    pub level: Level,
    /// What it says, without the name in front that stderr shows.
    pub text: String,
}

impl MemoryLog {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// What [`Prefork::logger`](prefork::Prefork::logger) takes.
    pub fn logger(&self) -> impl FnMut(&LogLine<'_>) + Send + 'static {
        let log = self.clone();
        move |line| {
            let kept = KeptLine {
                level: line.level(),
                text: line.to_string(),
            };
            log.lock().push(kept);
        }
    }

    /// All lines so far, in their order.
    pub fn lines(&self) -> Vec<KeptLine> {
        self.lock().clone()
    }

    /// The first line that fits, of those that are there already and those that come.
    ///
    /// # Panics
    /// If none comes within [`LIMIT`]; the message shows the lines.
    #[track_caller]
    pub fn wait_for(&self, mut fits: impl FnMut(&KeptLine) -> bool) -> KeptLine {
        let mut seen = 0;
        let found = within(LIMIT, || {
            let lines = self.lock();
            let found = lines[seen..].iter().find(|line| fits(line)).cloned();
            seen = lines.len();
            found
        });
        found.unwrap_or_else(|| panic!("waited in vain for a line; {self}"))
    }

    /// What the test does with a line cannot leave the list half written.
    fn lock(&self) -> MutexGuard<'_, Vec<KeptLine>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For the message of a panic.
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

/// As `Error: worker 0 …`.
impl fmt::Display for KeptLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.level, self.text)
    }
}
