//! One log line of the master: its text, and the values that the text is about.
//!
//! A consumer of notices: this file alone turns them into text. It does not know where the line is
//! written.

use std::borrow::Cow;
use std::fmt;
use std::process;
use std::time::Duration;

use nix::sys::signal::Signal;
use prefork_options::{duration, one_line};

use super::RolloutVerdict;
use super::notice::{
    EndedBy, Notice, StartStep, StopStep, UnreapedCause, WorkerExit, WorkerProcess,
};
use super::notice::{NotifyFailure, WorkerRole};
use crate::error::ShortageStage;
use crate::listen::ListenerInfo;
use crate::sys::exit_status::ExitStatus;
use crate::sys::signals::ReceivedSignal;
use crate::sys::stderr::MAX_LINE;
use crate::tls::TlsEventLevel;

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
pub struct LogLine {
    level: Level,
    text: String,
    fields: LineFields,
}

#[derive(Debug, Clone, Default)]
struct LineFields {
    slot: Option<usize>,
    pid: Option<i32>,
    exit_status: Option<i32>,
    signal: Option<i32>,
    has_dumped_core: bool,
    age: Option<Duration>,
    reason: Option<String>,
    sender: Option<i32>,
}

/// The public part: the values of a line.
impl LogLine {
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

    /// Returns the status with which the worker exited. `None` if a signal killed it.
    pub fn exit_status(&self) -> Option<i32> {
        self.fields.exit_status
    }

    /// Returns the number of the signal that killed the worker or that the master got.
    pub fn signal(&self) -> Option<i32> {
        self.fields.signal
    }

    /// Returns whether the worker, killed by a signal, has dumped core (core(5)).
    pub fn has_dumped_core(&self) -> bool {
        self.fields.has_dumped_core
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
        self.fields.reason.as_deref()
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

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// From a notice to its line.
impl LogLine {
    /// Returns the line about this notice. `None`: the log has no line about it.
    #[expect(clippy::too_many_lines, reason = "one match, with one arm per notice")]
    pub(super) fn of(notice: &Notice<'_>) -> Option<Self> {
        let (level, text) = match notice {
            Notice::StartWarning(text) => (Level::Warn, (*text).to_owned()),
            Notice::StartCanceled { received, before } => {
                let before = match before {
                    StartStep::Bind => "the addresses were bound",
                    StartStep::Main => "main was called",
                };
                let text = format!("{}: stopped before {before}", SignalDisplay(*received));
                (Level::Info, text)
            }
            Notice::SingleStarted { listeners } => {
                let (listening, pid) = (describe_listeners(listeners), process::id());
                let text = format!("{listening} in a single process (pid {pid})");
                (Level::Info, text)
            }
            Notice::AllSpawned { listeners, workers } => {
                let (listening, pid) = (describe_listeners(listeners), process::id());
                let workers = count_workers(*workers);
                let text = format!("{listening} with {workers} (master pid {pid})");
                (Level::Info, text)
            }
            Notice::WorkerStarted { replaced, .. } => {
                let old_pid = replaced.as_ref()?.pid;
                let what = format!("started, replacing pid {old_pid}");
                (Level::Info, about_worker(notice, &what))
            }
            Notice::WorkerPromoted { replaced, .. } => {
                let what = match replaced {
                    Some(old) => format!("promoted, replacing pid {}", old.pid),
                    None => "promoted".to_owned(),
                };
                (Level::Info, about_worker(notice, &what))
            }
            Notice::WorkerExited { exit, repeated } => (
                exit.level(),
                about_worker(notice, &exit.describe(*repeated)),
            ),
            Notice::WorkerUnreaped { cause, .. } => {
                let (level, what) = match cause {
                    UnreapedCause::Traced { tracer, was_killed } => {
                        let end = if *was_killed { "was killed" } else { "exited" };
                        let why = "but cannot be reaped until its tracer";
                        (Level::Warn, format!("{end}, {why} (pid {tracer}) detaches"))
                    }
                    UnreapedCause::WaitFailed(error) => {
                        (Level::Error, format!("exited, but waitid failed: {error}"))
                    }
                };
                (level, about_worker(notice, &what))
            }
            Notice::WorkerStillRuns { age, end, left, .. } => {
                let what = format!(
                    "still runs after {}: {end}, but the process has not exited (blocking tasks or \
                     threads may keep it running); it is replaced now, and killed if it runs for \
                     another {} (shutdown_grace_period)",
                    duration::rounded(*age),
                    duration::rounded(*left)
                );
                (Level::Warn, about_worker(notice, &what))
            }
            Notice::WorkerGivenUp { waited, .. } => {
                let limit = duration::format(*waited);
                let what = format!(
                    "did not exit within {limit} after SIGKILL; the master no longer waits for it"
                );
                (Level::Error, about_worker(notice, &what))
            }
            Notice::Shortage { shortage, .. } => {
                let level = match shortage.stage {
                    ShortageStage::Begins { .. } => Level::Warn,
                    ShortageStage::IsOver { .. } => Level::Info,
                };
                (level, about_worker(notice, &shortage.to_string()))
            }
            Notice::WorkerUnpinned { cpu, error, .. } => {
                let why = match error.raw_os_error() {
                    Some(libc::EINVAL) => ": the CPU is offline or outside of the cpuset",
                    Some(_) | None => "",
                };
                let what = format!(
                    "runs on any CPU: it cannot be pinned to CPU {cpu} (pin_cpus = true): {error} \
                     (sched_setaffinity){why}"
                );
                (Level::Warn, about_worker(notice, &what))
            }
            Notice::AdoptionFailed { .. } => {
                let what = "accepts only from the sockets that it has (reuseport): it has too many \
                            open files or unread messages";
                (Level::Warn, about_worker(notice, what))
            }
            Notice::StartFailed { error, .. } | Notice::HookFailed(error) => {
                (Level::Error, error.chain())
            }
            Notice::NoStandby => {
                let text = "no standby is started: the workers have not declared that they can wait. \
                            Their main takes no prefork::net::Listener, TlsListener or Worker, or \
                            child_producer names a program that has no prefork or starts it later \
                            than healthy_after";
                (Level::Error, text.to_owned())
            }
            Notice::ListenerRebound(listener) => {
                let text = format!(
                    "listener {listener} was shut down by a process that shares its socket: bound \
                     it again; workers with the old socket exit and are replaced"
                );
                (Level::Error, text)
            }
            Notice::ListenerLost(listener) => {
                let text = format!(
                    "listener {listener} was shut down by a process that shares its socket, and \
                     cannot be bound again"
                );
                (Level::Error, text)
            }
            Notice::Certificate(event) => {
                let level = match event.level {
                    TlsEventLevel::Info => Level::Info,
                    TlsEventLevel::Warning => Level::Warn,
                    TlsEventLevel::Error => Level::Error,
                };
                (level, event.text.clone())
            }
            Notice::StopRequested { by, step } => {
                let by = by.map_or("stop requested by Handle".to_owned(), |received| {
                    SignalDisplay(received).to_string()
                });
                let what = match step {
                    StopStep::Begins {
                        workers,
                        delay,
                        grace,
                    } => {
                        let (workers, grace) = (count_workers(*workers), duration::format(*grace));
                        let after = if delay.is_zero() {
                            String::new()
                        } else {
                            format!(" after drain_delay ({})", duration::format(*delay))
                        };
                        format!("stopping {workers} within {grace}{after}")
                    }
                    StopStep::Immediate { workers } => {
                        format!("killing {}", count_workers(*workers))
                    }
                    StopStep::AlreadyStopping => "already stopping".to_owned(),
                };
                (Level::Info, format!("{by}: {what}"))
            }
            Notice::RolloutRequested { by } => {
                let by = by.map_or("Handle".to_owned(), |by| SignalDisplay(by).to_string());
                (Level::Info, format!("rollout requested by {by}"))
            }
            Notice::RolloutBegan {
                program, workers, ..
            } => {
                let workers = count_workers(*workers);
                (Level::Info, format!("rolling out {program} to {workers}"))
            }
            Notice::WorkerReplaced {
                previous,
                is_roll_back,
                ..
            } => {
                let why = if *is_roll_back {
                    "roll-back"
                } else {
                    "rollout"
                };
                let what = match previous {
                    Some(pid) => format!("replaces pid {pid} ({why})"),
                    None => format!("fills the slot ({why})"),
                };
                (Level::Info, about_worker(notice, &what))
            }
            Notice::RolloutEnded { verdict, .. } => {
                let level = match verdict {
                    RolloutVerdict::Refused(_) => Level::Error,
                    RolloutVerdict::Accepted { .. }
                    | RolloutVerdict::Superseded
                    | RolloutVerdict::Stopped => Level::Info,
                };
                (level, verdict.to_string())
            }
            Notice::SignalIgnored(received) => {
                let text = format!("ignoring {}: not supported yet", SignalDisplay(*received));
                (Level::Warn, text)
            }
            Notice::NotifyFailed(NotifyFailure { variable, error }) => {
                let text = format!("readiness cannot be reported through {variable}: {error}");
                (Level::Warn, text)
            }
            Notice::Unkillable(error) => (Level::Error, error.to_string()),
            Notice::Failed(error) => (Level::Error, error.report()),
            Notice::Stopped { taken } => {
                let taken = duration::rounded(*taken);
                (
                    Level::Info,
                    format!("stopped after {taken}: all workers exited"),
                )
            }
            Notice::ReadinessChanged { is_ready, .. } => {
                let (level, what) = if *is_ready {
                    (Level::Info, "ready again")
                } else {
                    (Level::Warn, "not ready: it accepts no connections")
                };
                (level, about_worker(notice, what))
            }
            Notice::AllHealthy { pids, .. } => {
                let workers = count_workers(pids.len());
                (Level::Info, format!("all workers are ready ({workers})"))
            }
            Notice::HealthyAgain { workers } => {
                let workers = count_workers(*workers);
                let text = format!("all workers are ready again ({workers})");
                (Level::Info, text)
            }
            Notice::MasterReady { .. }
            | Notice::WorkerReady { .. }
            | Notice::WorkerKilled { .. }
            | Notice::StopBegan { .. } => return None,
        };
        Some(Self {
            level,
            text: on_one_line(&text),
            fields: LineFields::of(notice),
        })
    }
}

/// Escapes and cuts a text, since a part of it may come from a child.
fn on_one_line(text: &str) -> String {
    one_line(text, MAX_TEXT)
}

impl LineFields {
    fn of(notice: &Notice<'_>) -> Self {
        let worker = notice.worker();
        let mut fields = Self {
            slot: worker.map(|worker| worker.slot),
            pid: worker.map(|worker| worker.pid),
            ..Self::default()
        };
        match notice {
            Notice::SingleStarted { .. } | Notice::AllSpawned { .. } => {
                fields.pid = i32::try_from(process::id()).ok();
            }
            Notice::WorkerExited { exit, .. } => {
                match exit.status {
                    ExitStatus::Code(code) => fields.exit_status = Some(code),
                    ExitStatus::Signal {
                        number,
                        core_dumped,
                    } => {
                        fields.signal = Some(number);
                        fields.has_dumped_core = core_dumped;
                    }
                    ExitStatus::Unknown => {}
                }
                fields.age = Some(exit.age);
                fields.reason = exit.reason.as_deref().map(on_one_line);
            }
            Notice::WorkerStillRuns { age, end, .. } => {
                fields.age = Some(*age);
                fields.reason = Some(on_one_line(end));
            }
            Notice::StartFailed { slot, .. } => fields.slot = Some(*slot),
            Notice::StartCanceled { received, .. }
            | Notice::StopRequested {
                by: Some(received), ..
            }
            | Notice::RolloutRequested { by: Some(received) }
            | Notice::SignalIgnored(received) => {
                fields.signal = Some(received.signal as i32);
                // Zero means a sender in another PID namespace.
                fields.sender = received.sender.filter(|&pid| pid > 0);
            }
            // Their lines have no other fields.
            Notice::StartWarning(_)
            | Notice::MasterReady { .. }
            | Notice::AllHealthy { .. }
            | Notice::HealthyAgain { .. }
            | Notice::WorkerStarted { .. }
            | Notice::WorkerPromoted { .. }
            | Notice::WorkerReady { .. }
            | Notice::ReadinessChanged { .. }
            | Notice::WorkerKilled { .. }
            | Notice::WorkerUnreaped { .. }
            | Notice::WorkerGivenUp { .. }
            | Notice::Shortage { .. }
            | Notice::WorkerUnpinned { .. }
            | Notice::AdoptionFailed { .. }
            | Notice::NoStandby
            | Notice::ListenerRebound(_)
            | Notice::ListenerLost(_)
            | Notice::Certificate(_)
            | Notice::StopRequested { by: None, .. }
            | Notice::RolloutRequested { by: None }
            | Notice::RolloutBegan { .. }
            | Notice::WorkerReplaced { .. }
            | Notice::RolloutEnded { .. }
            | Notice::StopBegan { .. }
            | Notice::NotifyFailed(_)
            | Notice::HookFailed(_)
            | Notice::Unkillable(_)
            | Notice::Failed(_)
            | Notice::Stopped { .. } => {}
        }
        fields
    }
}

/// `worker 0 (pid 12) <what>`, `successor in slot 0 (pid 12) <what>` or
/// `standby 2 (pid 12) <what>`; in a single process only `<what>`.
fn about_worker(notice: &Notice<'_>, what: &str) -> String {
    match notice.worker() {
        Some(worker) => format!("{worker} {what}"),
        None => what.to_owned(),
    }
}

impl fmt::Display for WorkerProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.role {
            WorkerRole::Worker => "worker",
            WorkerRole::Successor => "successor in slot",
            WorkerRole::Standby => "standby",
        };
        write!(f, "{what} {} (pid {})", self.slot, self.pid)
    }
}

fn count_workers(count: usize) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} worker{plural}")
}

/// How a worker exited, as text. The error of the master and `on_child_recover` use it too.
impl WorkerExit {
    fn level(&self) -> Level {
        let by_sigterm =
            matches!(self.status, ExitStatus::Signal { number, .. } if number == libc::SIGTERM);
        match (self.ended_by, self.status) {
            // A `main` that does not handle stops is ended by the SIGTERM that requests the stop.
            (EndedBy::StopRequest, ExitStatus::Code(0)) => Level::Info,
            (EndedBy::StopRequest, _) if by_sigterm => Level::Info,
            (EndedBy::Nothing, ExitStatus::Code(0))
            | (EndedBy::StopRequest | EndedBy::ImmediateStop | EndedBy::GracePeriod(_), _) => {
                Level::Warn
            }
            (EndedBy::Nothing | EndedBy::ReadyTimeout(_) | EndedBy::Violation(_), _) => {
                Level::Error
            }
        }
    }

    /// `exited with status 1: main returned an error: no database`
    pub(super) fn cause(&self) -> String {
        self.cause_with(self.reason.as_deref())
    }

    /// The cause with this reason of the worker, or without one.
    pub(super) fn cause_with(&self, reason: Option<&str>) -> String {
        format!("{}{}", StatusDisplay(self.status), self.why(reason))
    }

    /// `was killed by SIGKILL after 5.5s: <why>`
    fn describe(&self, repeated: Option<u32>) -> String {
        let again = repeated.map(|count| format!("same reason as before, {count} times in a row"));
        let reason = self.reason.as_deref();
        let mut why = self.why(reason.map(|reason| again.as_deref().unwrap_or(reason)));
        if let (Some(hint), None) = (self.hint(), repeated) {
            why.push_str("; ");
            why.push_str(hint);
        }
        let age = duration::rounded(self.age);
        format!("{} after {age}{why}", StatusDisplay(self.status))
    }

    /// What the master had done, and the reason of the worker.
    fn why(&self, reason: Option<&str>) -> String {
        let mut why = match self.ended_by {
            EndedBy::Nothing => String::new(),
            EndedBy::StopRequest => ", as requested".to_owned(),
            EndedBy::ReadyTimeout(limit) => {
                let limit = duration::format(limit);
                format!(": not ready within ready_timeout ({limit})")
            }
            EndedBy::ImmediateStop => ": immediate stop requested".to_owned(),
            EndedBy::GracePeriod(limit) => {
                let limit = duration::format(limit);
                format!(": did not stop within shutdown_grace_period ({limit})")
            }
            EndedBy::Violation(rule) => format!(": {rule}"),
        };
        if let Some(reason) = reason {
            why.push_str(if why.is_empty() { ": " } else { "; " });
            why.push_str(reason);
        }
        why
    }

    /// A hint for a SIGKILL that the master did not send.
    ///
    /// The kernel does not report the sender of a signal that ended a process. It sends this signal
    /// itself when memory runs out.
    fn hint(&self) -> Option<&'static str> {
        let is_sigkill =
            matches!(self.status, ExitStatus::Signal { number, .. } if number == libc::SIGKILL);
        (is_sigkill && self.ended_by == EndedBy::Nothing).then_some(
            "the master did not send the signal; if memory ran out, `dmesg` or the memory limit of the container shows it",
        )
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

/// The listeners, for the first line after a start.
fn describe_listeners(listeners: &[ListenerInfo]) -> String {
    let addresses: Vec<String> = listeners.iter().map(ToString::to_string).collect();
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

    fn line(notice: &Notice<'_>) -> LogLine {
        LogLine::of(notice).expect("the notice has a line")
    }

    fn exit(ended_by: EndedBy, status: ExitStatus, reason: Option<&str>) -> WorkerExit {
        WorkerExit {
            worker: WorkerProcess {
                slot: 2,
                pid: 12,
                role: WorkerRole::Worker,
            },
            status,
            age: Duration::from_millis(5_510),
            ended_by,
            reason: reason.map(str::to_owned),
        }
    }

    fn exit_line(exit: &WorkerExit, repeated: Option<u32>) -> LogLine {
        line(&Notice::WorkerExited { exit, repeated })
    }

    #[test]
    fn a_line_stays_one_line_of_bounded_length() {
        let line = |text: &str| line(&Notice::StartWarning(text)).to_string();
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
        let exit = exit(EndedBy::Nothing, status, Some("panicked: no"));
        let (line, age) = (exit_line(&exit, None), exit.age);
        let text = "worker 2 (pid 12) was killed by SIGABRT (core dumped) after 5.5s: panicked: no";
        assert_eq!(line.to_string(), text);
        assert_eq!((line.slot(), line.pid()), (Some(2), Some(12)));
        assert_eq!((line.signal(), line.age()), (Some(6), Some(age)));
        assert_eq!((line.exit_status(), line.has_dumped_core()), (None, true));
        assert_eq!(line.sender(), None);
    }

    #[test]
    fn a_line_has_the_status_of_the_process() {
        let status = |status| exit_line(&exit(EndedBy::Nothing, status, None), None).exit_status();
        assert_eq!(status(ExitStatus::Code(3)), Some(3));
        assert_eq!(status(ExitStatus::Unknown), None);
    }

    #[test]
    fn a_signal_names_its_sender() {
        let line = |signal, sender| {
            let line = line(&Notice::StopRequested {
                by: Some(received(signal, sender, 1)),
                step: StopStep::AlreadyStopping,
            });
            assert_eq!(line.signal(), Some(signal as i32));
            (line.to_string(), line.sender())
        };
        let cases = [
            (
                Signal::SIGTERM,
                Some(7),
                "SIGTERM from pid 7: already stopping",
                Some(7),
            ),
            (
                Signal::SIGTERM,
                Some(0),
                "SIGTERM from another PID namespace: already stopping",
                None,
            ),
            (
                Signal::SIGINT,
                None,
                "SIGINT from the terminal: already stopping",
                None,
            ),
            (
                Signal::SIGTERM,
                None,
                "SIGTERM from the kernel: already stopping",
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
            line(&Notice::SignalIgnored(received)).to_string()
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

    #[test]
    fn a_repeated_reason_is_logged_once_and_stays_available_as_a_value() {
        let reason = "main returned an error: no database";
        let exit = exit(EndedBy::Nothing, ExitStatus::Code(1), Some(reason));
        let line = exit_line(&exit, Some(3));
        assert!(
            line.to_string()
                .ends_with(": same reason as before, 3 times in a row"),
            "{line}"
        );
        assert_eq!(line.reason(), Some(reason));
        assert!(
            exit_line(&exit, None)
                .to_string()
                .ends_with(": no database")
        );
    }

    #[test]
    fn the_lines_of_a_rollout_name_who_requested_it_and_what_is_replaced() {
        let hangup = received(Signal::SIGHUP, Some(7), 2);
        let requested = |by| line(&Notice::RolloutRequested { by }).to_string();
        let text = "rollout requested by SIGHUP from pid 7 (2 times)";
        assert_eq!(requested(Some(hangup)), text);
        assert_eq!(requested(None), "rollout requested by Handle");
        let replaced = |previous, is_roll_back| {
            let (slot, pid, role) = (3, 12, WorkerRole::Worker);
            let worker = WorkerProcess { slot, pid, role };
            line(&Notice::WorkerReplaced {
                worker,
                previous,
                is_roll_back,
            })
            .to_string()
        };
        let text = "worker 3 (pid 12) replaces pid 9 (rollout)";
        assert_eq!(replaced(Some(9), false), text);
        let text = "worker 3 (pid 12) fills the slot (roll-back)";
        assert_eq!(replaced(None, true), text);
        let successor = WorkerProcess {
            slot: 3,
            pid: 12,
            role: WorkerRole::Successor,
        };
        assert_eq!(successor.to_string(), "successor in slot 3 (pid 12)");
    }

    #[test]
    fn the_line_about_a_traced_worker_names_the_tracer() {
        let traced = line(&Notice::WorkerUnreaped {
            worker: WorkerProcess {
                slot: 0,
                pid: 3,
                role: WorkerRole::Worker,
            },
            cause: UnreapedCause::Traced {
                tracer: 7,
                was_killed: true,
            },
        });
        let text =
            "worker 0 (pid 3) was killed, but cannot be reaped until its tracer (pid 7) detaches";
        assert_eq!(traced.to_string(), text);
    }
}
