//! A child as the master holds it: its process, its channel, and the facts for its log lines.

use std::time::{Duration, Instant};

use prefork_options::duration;

use super::log_line::exit_text;
use super::{Level, LogLine};
use crate::channel::{Channel, MainEnd, RateLimit};
use crate::supervisor::{ChildId, KillReason};
use crate::sys::exit_status::ExitStatus;
use crate::sys::pidfd::Pidfd;

/// The limits that the line about an exit names.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChildLimits {
    pub(super) ready_timeout: Duration,
    pub(super) shutdown_grace_period: Duration,
}

/// One process, from its start until it is reaped.
#[derive(Debug)]
pub(super) struct ChildProcess {
    pub(super) id: ChildId,
    pub(super) slot: usize,
    pub(super) pid: i32,
    pub(super) pidfd: Pidfd,
    /// `None` after the child closed its end or broke a rule of the channel.
    pub(super) channel: Option<Channel>,
    pub(super) rate: RateLimit,
    /// The limit of log lines about shortages.
    pub(super) shortage_rate: RateLimit,
    pub(super) started: Instant,
    /// The master asked it to stop, or a stop of the master began.
    pub(super) is_asked_to_stop: bool,
    /// The reason why the master killed it, if it did.
    pub(super) killed: Option<KillReason>,
    /// It was killed because of a request to stop at once.
    pub(super) is_stopped_at_once: bool,
    /// The rule of the channel that it broke.
    pub(super) violation: Option<&'static str>,
    /// How its `main` ended; `None` while it runs.
    pub(super) main_end: Option<MainEnd>,
    /// The message and location of its last panic, as it sent them, and the time.
    pub(super) last_panic: Option<(String, Instant)>,
    /// The log already has the line that it exited and cannot be reaped.
    pub(super) is_unreaped_logged: bool,
}

impl ChildProcess {
    pub(super) fn new(
        id: ChildId,
        slot: usize,
        process: (i32, Pidfd),
        channel: Channel,
        now: Instant,
    ) -> Self {
        let (pid, pidfd) = process;
        Self {
            id,
            slot,
            pid,
            pidfd,
            channel: Some(channel),
            rate: RateLimit::frames(now),
            shortage_rate: RateLimit::shortages(now),
            started: now,
            is_asked_to_stop: false,
            killed: None,
            is_stopped_at_once: false,
            violation: None,
            main_end: None,
            last_panic: None,
            is_unreaped_logged: false,
        }
    }

    /// The level of the line about its exit.
    fn exit_level(&self, status: ExitStatus) -> Level {
        let by_sigterm =
            matches!(status, ExitStatus::Signal { number, .. } if number == libc::SIGTERM);
        match (self.killed, status) {
            // A `main` that does not handle stops is ended by the SIGTERM that requests the stop.
            (None, ExitStatus::Code(0)) if self.is_asked_to_stop => Level::Info,
            (None, _) if self.is_asked_to_stop && by_sigterm => Level::Info,
            (None, _) if self.is_asked_to_stop => Level::Warn,
            (None, ExitStatus::Code(0)) | (Some(KillReason::OutOfTime), _) => Level::Warn,
            (None | Some(KillReason::NotReady | KillReason::Violation), _) => Level::Error,
        }
    }

    /// Collects all that is known about the exit.
    ///
    /// The log line, the hook of the replacement and the error of the master use it.
    pub(super) fn exit_report(
        &self,
        status: ExitStatus,
        limits: ChildLimits,
        now: Instant,
    ) -> ExitReport {
        ExitReport {
            worker: (self.slot, self.pid),
            status,
            age: now.saturating_duration_since(self.started),
            level: self.exit_level(status),
            killed: match self.killed {
                None if self.is_asked_to_stop => ", as requested".to_owned(),
                None => String::new(),
                Some(KillReason::NotReady) => {
                    let limit = duration::format(limits.ready_timeout);
                    format!(": not ready within ready_timeout ({limit})")
                }
                Some(KillReason::OutOfTime) if self.is_stopped_at_once => {
                    ": immediate stop requested".to_owned()
                }
                Some(KillReason::OutOfTime) => {
                    let limit = duration::format(limits.shutdown_grace_period);
                    format!(": did not stop within shutdown_grace_period ({limit})")
                }
                Some(KillReason::Violation) => {
                    format!(
                        ": {}",
                        self.violation
                            .unwrap_or("broke the protocol between master and worker")
                    )
                }
            },
            reason: self.reason(status, now),
            hint: self.hint(status),
        }
    }

    /// A hint for a SIGKILL that the master did not send.
    ///
    /// The kernel does not report the sender of a signal that ended a process. It sends this signal
    /// itself when memory runs out.
    fn hint(&self, status: ExitStatus) -> Option<&'static str> {
        let is_sigkill =
            matches!(status, ExitStatus::Signal { number, .. } if number == libc::SIGKILL);
        let is_unexplained = is_sigkill && self.killed.is_none() && !self.is_asked_to_stop;
        is_unexplained.then_some(
            "the master did not send the signal; if memory ran out, `dmesg` or the memory limit of the container shows it",
        )
    }

    /// The cause that the worker itself reported.
    ///
    /// A requested return of `main` is no cause.
    fn reason(&self, status: ExitStatus, now: Instant) -> Option<String> {
        match &self.main_end {
            Some(MainEnd::Returned) if self.is_asked_to_stop => None,
            Some(end) => Some(end.to_string()),
            None => self.panic_message(status, now).map(str::to_owned),
        }
    }

    /// The panic that ended the process, if one did.
    ///
    /// A server may have caught its last panic long ago, so an old panic does not count.
    fn panic_message(&self, status: ExitStatus, now: Instant) -> Option<&str> {
        /// A process that panics exits soon, after a backtrace and a core dump at most.
        const RECENT: Duration = Duration::from_secs(5);
        let (panic, at) = self.last_panic.as_ref()?;
        let may_be = match status {
            ExitStatus::Code(code) => code != 0 && self.killed.is_none(),
            ExitStatus::Signal { number, .. } => number == libc::SIGABRT,
            ExitStatus::Unknown => true,
        };
        let is_recent = now.saturating_duration_since(*at) < RECENT;
        (may_be && is_recent).then_some(panic)
    }

    /// The line about a process that outlives its `main`.
    pub(super) fn running_line(&self, left: Duration, now: Instant) -> LogLine<'static> {
        let age = now.saturating_duration_since(self.started);
        let end = self
            .main_end
            .as_ref()
            .map_or_else(String::new, MainEnd::to_string);
        LogLine::still_running((self.slot, self.pid), age, end, left)
    }
}

/// All that is known about the exit of a child.
#[derive(Debug)]
pub(super) struct ExitReport {
    worker: (usize, i32),
    status: ExitStatus,
    age: Duration,
    level: Level,
    /// The part of the master, as text: empty, `, as requested`, or the kill reason.
    killed: String,
    reason: Option<String>,
    hint: Option<&'static str>,
}

impl ExitReport {
    /// `exited with status 1: main returned an error: no database`
    pub(super) fn cause(&self) -> String {
        let how = format!("{}{}", exit_text(self.status), self.killed);
        match (&self.reason, self.killed.is_empty()) {
            (None, _) => how,
            (Some(reason), true) => format!("{how}: {reason}"),
            (Some(reason), false) => format!("{how}; {reason}"),
        }
    }

    /// The log line about the exit.
    ///
    /// If the log already gave the cause, `repeated` is the number of equal exits in a row.
    pub(super) fn line(&self, repeated: Option<u32>) -> LogLine<'static> {
        let reason = match (&self.reason, repeated) {
            (None, _) => None,
            (Some(_), Some(count)) => {
                Some(format!("same reason as before, {count} times in a row"))
            }
            (Some(reason), None) => Some(reason.clone()),
        };
        let mut why = self.killed.clone();
        if let Some(reason) = reason {
            why.push_str(if why.is_empty() { ": " } else { "; " });
            why.push_str(&reason);
        }
        if let (Some(hint), None) = (self.hint, repeated) {
            why.push_str("; ");
            why.push_str(hint);
        }
        LogLine::exit(self.level, self.worker, self.status, self.age, &why)
            .with_reason(self.reason.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ChildLimits = ChildLimits {
        ready_timeout: Duration::from_secs(30),
        shutdown_grace_period: Duration::from_secs(5),
    };
    const ABORTED: ExitStatus = ExitStatus::Signal {
        number: libc::SIGABRT,
        core_dumped: false,
    };
    const KILLED: ExitStatus = ExitStatus::Signal {
        number: libc::SIGKILL,
        core_dumped: false,
    };

    /// A child of slot 0 without a process: its descriptor is never polled.
    fn child() -> ChildProcess {
        let null = std::fs::File::open("/dev/null").expect("/dev/null exists");
        let (channel, _) = Channel::pair().expect("free descriptors");
        let process = (7, Pidfd::new(null.into()));
        ChildProcess::new(ChildId(1), 0, process, channel, Instant::now())
    }

    fn how(child: &ChildProcess, status: ExitStatus) -> String {
        child.exit_report(status, LIMITS, Instant::now()).cause()
    }

    #[test]
    fn the_end_of_main_is_the_reason() {
        let mut child = child();
        child.main_end = Some(MainEnd::Failed("no database".to_owned()));
        let text = "exited with status 1: main returned an error: no database";
        assert_eq!(how(&child, ExitStatus::Code(1)), text);
        child.is_asked_to_stop = true;
        let text = "exited with status 1, as requested; main returned an error: no database";
        assert_eq!(how(&child, ExitStatus::Code(1)), text);
        child.main_end = Some(MainEnd::Returned);
        assert_eq!(
            how(&child, ExitStatus::Code(0)),
            "exited with status 0, as requested"
        );
    }

    #[test]
    fn a_panic_is_the_reason_for_an_abort_and_not_for_a_kill() {
        let mut child = child();
        child.last_panic = Some(("panicked: boom".to_owned(), Instant::now()));
        assert_eq!(
            how(&child, ABORTED),
            "was killed by SIGABRT: panicked: boom"
        );
        assert_eq!(how(&child, KILLED), "was killed by SIGKILL");
        assert_eq!(how(&child, ExitStatus::Code(0)), "exited with status 0");
    }

    #[test]
    fn an_old_panic_is_no_reason() {
        let mut child = child();
        child.last_panic = Some(("panicked: boom".to_owned(), Instant::now()));
        let later = Instant::now() + Duration::from_mins(1);
        assert_eq!(
            child.exit_report(ABORTED, LIMITS, later).cause(),
            "was killed by SIGABRT"
        );
    }

    #[test]
    fn a_repeated_reason_is_logged_once_and_stays_available_as_a_value() {
        let mut child = child();
        child.main_end = Some(MainEnd::Failed("no database".to_owned()));
        let ending = child.exit_report(ExitStatus::Code(1), LIMITS, Instant::now());
        let line = ending.line(Some(3));
        assert!(
            line.to_string()
                .ends_with(": same reason as before, 3 times in a row"),
            "{line}"
        );
        assert_eq!(line.reason(), Some("main returned an error: no database"));
        assert!(ending.line(None).to_string().ends_with(": no database"));
    }
}
