//! One log line of the master: its text, and the values that the text is about.
//!
//! Callers pass the values; this file alone turns them into text. It does not know where the line
//! is written.

use std::borrow::Cow;
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process;
use std::time::Duration;

use nix::sys::signal::Signal;
use prefork_options::{duration, one_line};

use crate::listen::BoundListener;
use crate::sys::exit_status::ExitStatus;
use crate::sys::signals::ReceivedSignal;
use crate::sys::stderr::MAX_LINE;

/// The severity of a log line of the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Level {
    /// A requested or expected event.
    Info,
    /// An unexpected event that does not end the master.
    ///
    /// Example: a worker exited with status 0.
    Warn,
    /// A failure: a worker died, a worker could not be started, or the master ends.
    Error,
}

/// One log line of the master, as a [`logger`](crate::Prefork::logger) receives it.
///
/// `Display` writes the text: one line of at most 4,096 bytes. Control characters are escaped. If
/// the text is too long, it is cut and ends with `…`. The methods return the values in the text,
/// such as the slot and the pid of the worker that the line is about.
#[derive(Debug, Clone)]
pub struct LogLine<'a> {
    level: Level,
    text: Cow<'a, str>,
    fields: LineFields,
    reason: Option<Cow<'a, str>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct LineFields {
    slot: Option<usize>,
    pid: Option<i32>,
    status: Option<process::ExitStatus>,
    signal: Option<i32>,
    age: Option<Duration>,
    sender: Option<i32>,
}

/// The public part: the values of a line.
impl LogLine<'_> {
    /// Returns the severity.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Returns the slot of the worker that the line is about, from 0.
    pub fn slot(&self) -> Option<usize> {
        self.fields.slot
    }

    /// Returns the process id of the worker that the line is about.
    ///
    /// In the first line after the start, it is the process id of the master or of the single
    /// process.
    pub fn pid(&self) -> Option<i32> {
        self.fields.pid
    }

    /// Returns how the worker exited: its status, or the signal that killed it.
    pub fn status(&self) -> Option<process::ExitStatus> {
        self.fields.status
    }

    /// Returns the number of the signal that killed the worker or that the master got.
    pub fn signal(&self) -> Option<i32> {
        self.fields.signal
    }

    /// Returns the time from the start of the worker to its exit.
    ///
    /// If the process of the worker outlives its `main`, it is the time from its start to this
    /// line.
    pub fn age(&self) -> Option<Duration> {
        self.fields.age
    }

    /// Returns the reason for the exit that the worker itself reported.
    ///
    /// Examples: `main returned an error: no database`, the message of a panic, the error of a
    /// worker that could not start. It is complete even if the text only refers to an earlier line.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Returns the process id of the sender of a signal to the master.
    ///
    /// `None` if the kernel sent it, or if the sender is in another PID namespace.
    pub fn sender(&self) -> Option<i32> {
        self.fields.sender
    }

    /// The name of the signal, such as `SIGKILL`, or its number if it has no name.
    #[cfg_attr(
        not(any(feature = "tracing", feature = "log")),
        expect(dead_code, reason = "used by the backends")
    )]
    pub(super) fn signal_name(&self) -> Option<Cow<'static, str>> {
        self.fields
            .signal
            .map(|number| match Signal::try_from(number) {
                Ok(signal) => Cow::Borrowed(signal.as_str()),
                Err(_) => Cow::Owned(number.to_string()),
            })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for LogLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The constructors, one for each subject of a line.
impl LogLine<'static> {
    /// Escapes and cuts the text, since a part of it may come from a child.
    fn new(level: Level, text: &str, facts: LineFields) -> Self {
        Self {
            level,
            text: Cow::Owned(one_line(text, MAX_TEXT)),
            fields: facts,
            reason: None,
        }
    }

    pub(super) fn with_reason(mut self, reason: Option<String>) -> Self {
        self.reason = reason.map(|reason| Cow::Owned(one_line(&reason, MAX_TEXT)));
        self
    }

    pub(crate) fn new_plain(level: Level, text: &str) -> Self {
        Self::new(level, text, LineFields::default())
    }

    /// The first line after the start of a master or of a single process.
    pub(crate) fn startup(text: &str) -> Self {
        let facts = LineFields {
            pid: i32::try_from(process::id()).ok(),
            ..LineFields::default()
        };
        Self::new(Level::Info, text, facts)
    }

    /// `worker 0 (pid 12) <what>`
    pub(super) fn about_worker(level: Level, worker: (usize, i32), what: &str) -> Self {
        let (slot, pid) = worker;
        let facts = LineFields {
            slot: Some(slot),
            pid: Some(pid),
            ..LineFields::default()
        };
        let text = format!("worker {slot} (pid {pid}) {what}");
        Self::new(level, &text, facts)
    }

    /// `worker 0: …`: about a slot for which no process could be started.
    pub(super) fn about_slot(level: Level, slot: usize, text: &str) -> Self {
        let facts = LineFields {
            slot: Some(slot),
            ..LineFields::default()
        };
        Self::new(level, text, facts)
    }

    /// `worker 0 (pid 12) was killed by SIGKILL after 5.5s<why>`
    pub(super) fn exit(
        level: Level,
        worker: (usize, i32),
        status: ExitStatus,
        age: Duration,
        why: &str,
    ) -> Self {
        let what = format!(
            "{} after {}{why}",
            StatusDisplay(status),
            duration::rounded(age)
        );
        let mut line = Self::about_worker(level, worker, &what);
        line.fields.status = as_std(status);
        line.fields.signal = match status {
            ExitStatus::Signal { number, .. } => Some(number),
            ExitStatus::Code(_) | ExitStatus::Unknown => None,
        };
        line.fields.age = Some(age);
        line
    }

    /// `worker 0 (pid 12) still runs after 5.5s: <reason>, but …`
    ///
    /// Its `main` has ended and its process has not exited.
    pub(super) fn still_running(
        worker: (usize, i32),
        age: Duration,
        reason: String,
        left: Duration,
    ) -> Self {
        let what = format!(
            "still runs after {}: {reason}, but the process has not exited (blocking tasks or threads may keep \
             it running); it is replaced now, and killed if it runs for another {} (shutdown_grace_period)",
            duration::rounded(age),
            duration::rounded(left)
        );
        let mut line = Self::about_worker(Level::Warn, worker, &what);
        line.fields.age = Some(age);
        line.with_reason(Some(reason))
    }

    /// `SIGTERM from pid 7: <what>`, or `SIGTERM from pid 7 (3 times): <what>`.
    pub(crate) fn from_signal(level: Level, received: ReceivedSignal, what: &str) -> Self {
        let text = format!("{}: {what}", SignalDisplay(received));
        Self::about_signal(level, received, &text)
    }

    /// `ignoring SIGUSR1 from pid 7: <why>`
    pub(super) fn ignored_signal(received: ReceivedSignal, why: &str) -> Self {
        let text = format!("ignoring {}: {why}", SignalDisplay(received));
        Self::about_signal(Level::Warn, received, &text)
    }

    fn about_signal(level: Level, received: ReceivedSignal, text: &str) -> Self {
        let facts = LineFields {
            signal: Some(received.signal as i32),
            // Zero means a sender in another PID namespace.
            sender: received.sender.filter(|&pid| pid > 0),
            ..LineFields::default()
        };
        Self::new(level, text, facts)
    }
}

/// `SIGTERM from pid 7`, or `SIGTERM from pid 7 (3 times)`.
struct SignalDisplay(ReceivedSignal);

impl fmt::Display for SignalDisplay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ReceivedSignal {
            signal,
            sender,
            count,
            ..
        } = self.0;
        match (sender, signal) {
            (Some(pid @ 1..), _) => write!(f, "{signal} from pid {pid}"),
            // `docker stop`, for example.
            (Some(_), _) => write!(f, "{signal} from another PID namespace"),
            // The kernel sends these when a key is pressed or the terminal hangs up.
            (None, Signal::SIGINT | Signal::SIGQUIT | Signal::SIGHUP) => {
                write!(f, "{signal} from the terminal")
            }
            (None, _) => write!(f, "{signal} from the kernel"),
        }?;
        match count {
            0 | 1 => Ok(()),
            count => write!(f, " ({count} times)"),
        }
    }
}

/// `exited with status 1`
pub(super) fn exit_text(status: ExitStatus) -> String {
    StatusDisplay(status).to_string()
}

struct StatusDisplay(ExitStatus);

impl fmt::Display for StatusDisplay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ExitStatus::Code(code) => write!(f, "exited with status {code}"),
            ExitStatus::Signal {
                number,
                core_dumped,
            } => {
                let core = if core_dumped { " (core dumped)" } else { "" };
                match Signal::try_from(number) {
                    Ok(signal) => write!(f, "was killed by {signal}{core}"),
                    Err(_) => write!(f, "was killed by signal {number}{core}"),
                }
            }
            ExitStatus::Unknown => f.write_str("exited with unknown status"),
        }
    }
}

/// Encodes the status in the form of `wait(2)`, which the standard library decodes.
fn as_std(status: ExitStatus) -> Option<process::ExitStatus> {
    const DUMPED: i32 = 0x80;
    match status {
        ExitStatus::Code(code) => Some(process::ExitStatus::from_raw((code & 0xff) << 8)),
        ExitStatus::Signal {
            number,
            core_dumped,
        } => {
            let dumped = if core_dumped { DUMPED } else { 0 };
            Some(process::ExitStatus::from_raw(number | dumped))
        }
        ExitStatus::Unknown => None,
    }
}

/// The listeners, for the first line after a start.
pub(crate) fn describe_listeners(listeners: &[BoundListener]) -> String {
    let addresses: Vec<String> = listeners
        .iter()
        .map(|bound| bound.info.to_string())
        .collect();
    match addresses.as_slice() {
        [] => "running".to_owned(),
        addresses => format!("listening on {}", addresses.join(", ")),
    }
}

/// The longest text of a line.
///
/// The name of the program in front of the text and the end of the line fill the rest of
/// `MAX_LINE`, which a pipe takes at once.
const MAX_TEXT: usize = MAX_LINE - 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line_of_bounded_length() {
        let line = |text: &str| LogLine::new_plain(Level::Warn, text).to_string();
        assert_eq!(line("a\nb\x1b[2J"), "a\\nb\\u{1b}[2J");
        let long = line(&"\x1b".repeat(10_000));
        assert!(long.len() <= MAX_TEXT && long.ends_with('…'), "{long}");
    }

    #[test]
    fn an_exit_line_has_the_same_facts_as_text_and_as_values() {
        let status = ExitStatus::Signal {
            number: 6,
            core_dumped: true,
        };
        let age = Duration::from_millis(5_510);
        let line = LogLine::exit(Level::Error, (2, 12), status, age, ": panicked: no");
        let text = "worker 2 (pid 12) was killed by SIGABRT (core dumped) after 5.5s: panicked: no";
        assert_eq!(line.to_string(), text);
        assert_eq!((line.slot(), line.pid()), (Some(2), Some(12)));
        assert_eq!((line.signal(), line.age()), (Some(6), Some(age)));
        let status = line.status().expect("a known status");
        assert_eq!((status.signal(), status.core_dumped()), (Some(6), true));
        assert_eq!(line.sender(), None);
    }

    #[test]
    fn a_line_has_the_status_of_the_process() {
        let status =
            |status| LogLine::exit(Level::Warn, (0, 1), status, Duration::ZERO, "").status();
        assert_eq!(status(ExitStatus::Code(3)).and_then(|s| s.code()), Some(3));
        assert_eq!(status(ExitStatus::Unknown), None);
    }

    #[test]
    fn a_signal_names_its_sender() {
        let line = |signal, sender| {
            let line = LogLine::from_signal(Level::Info, received(signal, sender, 1), "stopping");
            assert_eq!(line.signal(), Some(signal as i32));
            (line.to_string(), line.sender())
        };
        let cases = [
            (
                Signal::SIGTERM,
                Some(7),
                "SIGTERM from pid 7: stopping",
                Some(7),
            ),
            (
                Signal::SIGTERM,
                Some(0),
                "SIGTERM from another PID namespace: stopping",
                None,
            ),
            (
                Signal::SIGINT,
                None,
                "SIGINT from the terminal: stopping",
                None,
            ),
            (
                Signal::SIGTERM,
                None,
                "SIGTERM from the kernel: stopping",
                None,
            ),
        ];
        for (signal, sender, text, named) in cases {
            assert_eq!(line(signal, sender), (text.to_owned(), named));
        }
    }

    #[test]
    fn equal_signals_are_one_line_with_their_count() {
        let line = |count| {
            let received = received(Signal::SIGUSR1, Some(7), count);
            LogLine::ignored_signal(received, "not supported yet").to_string()
        };
        assert_eq!(line(1), "ignoring SIGUSR1 from pid 7: not supported yet");
        assert_eq!(
            line(322),
            "ignoring SIGUSR1 from pid 7 (322 times): not supported yet"
        );
    }

    fn received(signal: Signal, sender: Option<i32>, count: u64) -> ReceivedSignal {
        let now = std::time::Instant::now();
        ReceivedSignal {
            signal,
            sender,
            count,
            first: now,
            last: now,
        }
    }

    #[test]
    fn exit_texts_name_the_signal() {
        let signal = |number| ExitStatus::Signal {
            number,
            core_dumped: false,
        };
        assert_eq!(
            StatusDisplay(signal(9)).to_string(),
            "was killed by SIGKILL"
        );
        assert_eq!(
            StatusDisplay(signal(40)).to_string(),
            "was killed by signal 40"
        );
        let code = StatusDisplay(ExitStatus::Code(0));
        assert_eq!(code.to_string(), "exited with status 0");
        let unknown = StatusDisplay(ExitStatus::Unknown);
        assert_eq!(unknown.to_string(), "exited with unknown status");
    }
}
