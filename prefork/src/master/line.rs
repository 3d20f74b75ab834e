//! One line of the master's: what it says, and the facts that it says it about.
//!
//! Whoever has something to say hands over facts; how they read as a text is decided here, once. It does not know where
//! the line goes.

use std::borrow::Cow;
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process;
use std::time::Duration;

use nix::sys::signal::Signal;
use prefork_options::one_line;

use crate::listen::Bound;
use crate::sys::exit_status::ExitStatus;
use crate::sys::signals::Received;
use crate::sys::stderr::MAX_LINE;

/// How much a line of the master's should be noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Level {
    /// What was asked for happened.
    Info,
    /// Something happened that nobody asked for, and the master goes on; a worker that ended with
    /// status 0, for example.
    Warn,
    /// Something failed: a worker died, a start was refused, the master ends.
    Error,
}

/// One line of the master's, as a [`logger`](crate::Prefork::logger) is given it.
///
/// `Display` writes the text: one line, control characters escaped, at most 4,096 bytes, with `…` where it was cut. What it is about is there as
/// values as well, where the line is about such a thing.
#[derive(Debug, Clone)]
pub struct LogLine<'a> {
    level: Level,
    text: Cow<'a, str>,
    facts: Facts,
    reason: Option<Cow<'a, str>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Facts {
    slot: Option<usize>,
    pid: Option<i32>,
    status: Option<process::ExitStatus>,
    signal: Option<i32>,
    age: Option<Duration>,
    sender: Option<i32>,
}

/// What a reader of lines may ask.
impl LogLine<'_> {
    /// How much it should be noticed.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The slot of the worker that it is about, from 0.
    pub fn slot(&self) -> Option<usize> {
        self.facts.slot
    }

    /// The process id of the worker that it is about, or of the master that begins.
    pub fn pid(&self) -> Option<i32> {
        self.facts.pid
    }

    /// How the worker ended: by a status or by a signal.
    pub fn status(&self) -> Option<process::ExitStatus> {
        self.facts.status
    }

    /// The number of the signal: the one that ended the worker, or that the master got.
    pub fn signal(&self) -> Option<i32> {
        self.facts.signal
    }

    /// How old the worker became.
    pub fn age(&self) -> Option<Duration> {
        self.facts.age
    }

    /// Why the worker ended, as far as the worker itself reported it: `main returned an error: no database`, a panic's
    /// message, or why it could not start. It is there in full where the text refers to an earlier line.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The process that sent the master a signal; `None` also where the kernel did, or where it cannot be named in this
    /// PID namespace.
    pub fn sender(&self) -> Option<i32> {
        self.facts.sender
    }

    /// For readers of text: `SIGKILL`, or the number of one that has no name.
    #[cfg_attr(
        not(any(feature = "tracing", feature = "log")),
        expect(dead_code, reason = "for the backends")
    )]
    pub(super) fn signal_name(&self) -> Option<Cow<'static, str>> {
        self.facts
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

/// How a line is made: from what it is about to the rest of its text.
impl LogLine<'static> {
    /// A part of the text may come from a child: it stays one line, of bounded length.
    fn new(level: Level, text: &str, facts: Facts) -> Self {
        Self {
            level,
            text: Cow::Owned(one_line(text, MAX_TEXT)),
            facts,
            reason: None,
        }
    }

    pub(super) fn with_reason(mut self, reason: Option<String>) -> Self {
        self.reason = reason.map(|reason| Cow::Owned(one_line(&reason, MAX_TEXT)));
        self
    }

    pub(crate) fn plain(level: Level, text: &str) -> Self {
        Self::new(level, text, Facts::default())
    }

    /// The process that writes it begins: as a master, or alone.
    pub(crate) fn beginning(text: &str) -> Self {
        let facts = Facts {
            pid: i32::try_from(process::id()).ok(),
            ..Facts::default()
        };
        Self::new(Level::Info, text, facts)
    }

    /// `worker 0 (pid 12) <what>`
    pub(super) fn about_worker(level: Level, worker: (usize, i32), what: &str) -> Self {
        let (slot, pid) = worker;
        let facts = Facts {
            slot: Some(slot),
            pid: Some(pid),
            ..Facts::default()
        };
        let text = format!("worker {slot} (pid {pid}) {what}");
        Self::new(level, &text, facts)
    }

    /// `worker 0: <what>`: of a slot whose child never was.
    pub(super) fn about_slot(level: Level, slot: usize, text: &str) -> Self {
        let facts = Facts {
            slot: Some(slot),
            ..Facts::default()
        };
        Self::new(level, text, facts)
    }

    /// `worker 0 (pid 12) was killed by SIGKILL at the age of 5.5 s<why>`
    pub(super) fn of_end(
        level: Level,
        worker: (usize, i32),
        status: ExitStatus,
        age: Duration,
        why: &str,
    ) -> Self {
        let what = format!("{} at the age of {}{why}", Ending(status), span(age));
        let mut line = Self::about_worker(level, worker, &what);
        line.facts.status = as_std(status);
        line.facts.signal = match status {
            ExitStatus::Signal { number, .. } => Some(number),
            ExitStatus::Code(_) | ExitStatus::Unknown => None,
        };
        line.facts.age = Some(age);
        line
    }

    /// `worker 0 (pid 12) still runs at the age of 5.5 s: <main's end>; it is killed in 5.0 s if it does not exit`
    pub(super) fn of_running(
        worker: (usize, i32),
        age: Duration,
        reason: String,
        left: Duration,
    ) -> Self {
        let what = format!(
            "still runs at the age of {}: {reason}, and its process has not exited (blocking tasks or threads may hold \
             it); it is replaced, and killed in {} if it is still there (shutdown_grace_period)",
            span(age),
            span(left)
        );
        let mut line = Self::about_worker(Level::Warn, worker, &what);
        line.facts.age = Some(age);
        line.with_reason(Some(reason))
    }

    /// `SIGTERM from pid 7: <what>`, and `SIGTERM from pid 7 (3 times): <what>` for several.
    pub(super) fn of_signal(level: Level, received: Received, what: &str) -> Self {
        let times = match received.count {
            0 | 1 => String::new(),
            count => format!(" ({count} times)"),
        };
        let text = format!("{}{times}: {what}", Sent(received));
        let facts = Facts {
            signal: Some(received.signal as i32),
            // Zero is a sender whom this PID namespace cannot name.
            sender: received.sender.filter(|&pid| pid > 0),
            ..Facts::default()
        };
        Self::new(level, &text, facts)
    }
}

/// A signal and its sender.
struct Sent(Received);

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Received { signal, sender, .. } = self.0;
        match (sender, signal) {
            (Some(pid @ 1..), _) => write!(f, "{signal} from pid {pid}"),
            // `docker stop`, for example.
            (Some(_), _) => write!(f, "{signal} from outside"),
            // The kernel sends these where a key was pressed, or a line was hung up.
            (None, Signal::SIGINT | Signal::SIGQUIT | Signal::SIGHUP) => {
                write!(f, "{signal} from the terminal")
            }
            (None, _) => write!(f, "{signal} from the kernel"),
        }
    }
}

/// `exited with status 1`
pub(super) fn exit_text(status: ExitStatus) -> String {
    Ending(status).to_string()
}

struct Ending(ExitStatus);

impl fmt::Display for Ending {
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
            ExitStatus::Unknown => f.write_str("ended, its status is lost,"),
        }
    }
}

/// The words of `wait(2)`, which the standard library reads.
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

/// As people say it.
pub(super) fn span(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds @ 1..=59 => format!("{seconds}.{} s", time.subsec_millis() / 100),
        seconds @ 60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Where is listened, for the line that every start prints.
pub(crate) fn describe(listeners: &[Bound]) -> String {
    let places: Vec<String> = listeners
        .iter()
        .map(|bound| bound.place.to_string())
        .collect();
    match places.as_slice() {
        [] => "running".to_owned(),
        places => format!("listening on {}", places.join(", ")),
    }
}

/// The name in front and the end of the line are a part of what a pipe takes at once.
const MAX_TEXT: usize = MAX_LINE - 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line_of_bounded_length() {
        let line = |text: &str| LogLine::plain(Level::Warn, text).to_string();
        assert_eq!(line("a\nb\x1b[2J"), "a\\nb\\u{1b}[2J");
        let long = line(&"\x1b".repeat(10_000));
        assert!(long.len() <= MAX_TEXT && long.ends_with('…'), "{long}");
    }

    #[test]
    fn the_end_of_a_worker_is_there_as_text_and_as_values() {
        let status = ExitStatus::Signal {
            number: 6,
            core_dumped: true,
        };
        let age = Duration::from_millis(5_510);
        let line = LogLine::of_end(Level::Error, (2, 12), status, age, "; it said: no");
        let text = "worker 2 (pid 12) was killed by SIGABRT (core dumped) at the age of 5.5 s; it said: no";
        assert_eq!(line.to_string(), text);
        assert_eq!((line.slot(), line.pid()), (Some(2), Some(12)));
        assert_eq!((line.signal(), line.age()), (Some(6), Some(age)));
        let status = line.status().expect("it is known");
        assert_eq!((status.signal(), status.core_dumped()), (Some(6), true));
        assert_eq!(line.sender(), None);
    }

    #[test]
    fn a_status_is_the_one_that_the_process_had() {
        let status =
            |status| LogLine::of_end(Level::Warn, (0, 1), status, Duration::ZERO, "").status();
        assert_eq!(status(ExitStatus::Code(3)).and_then(|s| s.code()), Some(3));
        assert_eq!(status(ExitStatus::Unknown), None);
    }

    #[test]
    fn a_signal_names_its_sender() {
        let line = |signal, sender| {
            let line = LogLine::of_signal(Level::Info, received(signal, sender, 1), "stopping");
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
                "SIGTERM from outside: stopping",
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
        for (signal, sender, text, told) in cases {
            assert_eq!(line(signal, sender), (text.to_owned(), told));
        }
    }

    #[test]
    fn equal_signals_are_one_line_with_their_count() {
        let line = |count| {
            let received = received(Signal::SIGUSR1, Some(7), count);
            LogLine::of_signal(Level::Warn, received, "ignored").to_string()
        };
        assert_eq!(line(1), "SIGUSR1 from pid 7: ignored");
        assert_eq!(line(322), "SIGUSR1 from pid 7 (322 times): ignored");
    }

    fn received(signal: Signal, sender: Option<i32>, count: u64) -> Received {
        let now = std::time::Instant::now();
        Received {
            signal,
            sender,
            count,
            first: now,
            last: now,
        }
    }

    #[test]
    fn spans_read_like_people_say_them() {
        let cases = [
            (3, "3 ms"),
            (1_250, "1.2 s"),
            (61_000, "1 min 1 s"),
            (7_260_000, "2 h 1 min"),
        ];
        for (milliseconds, expected) in cases {
            assert_eq!(span(Duration::from_millis(milliseconds)), expected);
        }
    }

    #[test]
    fn endings_name_the_signal() {
        let signal = |number| ExitStatus::Signal {
            number,
            core_dumped: false,
        };
        assert_eq!(Ending(signal(9)).to_string(), "was killed by SIGKILL");
        assert_eq!(Ending(signal(40)).to_string(), "was killed by signal 40");
        let code = Ending(ExitStatus::Code(0));
        assert_eq!(code.to_string(), "exited with status 0");
    }
}
