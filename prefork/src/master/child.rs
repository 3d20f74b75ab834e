//! A child as the master holds it: its process, its channel, and what is known for the log.

use std::time::{Duration, Instant};

use prefork_options::duration;

use super::line::exit_text;
use super::{Level, LogLine};
use crate::channel::{Channel, MainEnd, Rate};
use crate::supervisor::{ChildId, KillReason};
use crate::sys::exit_status::ExitStatus;
use crate::sys::pidfd::Pidfd;

/// The limits that a line about an end names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) ready_timeout: Duration,
    pub(super) shutdown_grace_period: Duration,
}

/// One process, from its start until it was reaped.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts for the log"
)]
#[derive(Debug)]
pub(super) struct Child {
    pub(super) id: ChildId,
    pub(super) slot: usize,
    pub(super) pid: i32,
    pub(super) pidfd: Pidfd,
    /// Until the child closes its end, or breaks the rules.
    pub(super) channel: Option<Channel>,
    pub(super) rate: Rate,
    /// Of the lines about shortages.
    pub(super) shortage_rate: Rate,
    pub(super) started: Instant,
    /// The master asked it to go.
    pub(super) is_asked: bool,
    /// The master killed it.
    pub(super) killed: Option<KillReason>,
    /// Its slot has been given to another child: its process outlives its `main`.
    pub(super) has_left: bool,
    /// Somebody did not want to wait for its end.
    pub(super) is_hurried: bool,
    /// Which rule of the channel it broke.
    pub(super) violation: Option<&'static str>,
    /// How its `main` ended, if it has.
    pub(super) main_end: Option<MainEnd>,
    /// A panic's message and place, as the child sent it, and when.
    pub(super) last_panic: Option<(String, Instant)>,
    /// The log says that it has ended and cannot be reaped.
    pub(super) is_unreaped_logged: bool,
}

impl Child {
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
            rate: Rate::frames(now),
            shortage_rate: Rate::shortages(now),
            started: now,
            is_asked: false,
            killed: None,
            has_left: false,
            is_hurried: false,
            violation: None,
            main_end: None,
            last_panic: None,
            is_unreaped_logged: false,
        }
    }

    /// How much the line about its end should be noticed.
    fn gravity(&self, status: ExitStatus) -> Level {
        let by_sigterm =
            matches!(status, ExitStatus::Signal { number, .. } if number == libc::SIGTERM);
        match (self.killed, status) {
            // A body that knows nothing of stops ends by the signal that asks it.
            (None, ExitStatus::Code(0)) if self.is_asked => Level::Info,
            (None, _) if self.is_asked && by_sigterm => Level::Info,
            (None, _) if self.is_asked => Level::Warn,
            (None, ExitStatus::Code(0)) | (Some(KillReason::OutOfTime), _) => Level::Warn,
            (None | Some(KillReason::NotReady | KillReason::Violation), _) => Level::Error,
        }
    }

    /// How it ended, for its one line, its replacement and the last paragraph.
    pub(super) fn ending(&self, status: ExitStatus, limits: Limits, now: Instant) -> Ending {
        Ending {
            worker: (self.slot, self.pid),
            status,
            age: now.saturating_duration_since(self.started),
            level: self.gravity(status),
            killed: match self.killed {
                None if self.is_asked => ", as asked".to_owned(),
                None => String::new(),
                Some(KillReason::NotReady) => {
                    let limit = duration::format(limits.ready_timeout);
                    format!(": not ready within ready_timeout ({limit})")
                }
                Some(KillReason::OutOfTime) if self.is_hurried => {
                    ": it was to stop at once".to_owned()
                }
                Some(KillReason::OutOfTime) => {
                    let limit = duration::format(limits.shutdown_grace_period);
                    format!(": did not stop within shutdown_grace_period ({limit})")
                }
                Some(KillReason::Violation) => {
                    format!(": {}", self.violation.unwrap_or("it broke the protocol"))
                }
            },
            reason: self.reason(status, now),
            hint: self.hint(status),
        }
    }

    /// The kernel does not report the sender of a signal that ended a process. It uses this one when memory runs out.
    fn hint(&self, status: ExitStatus) -> Option<&'static str> {
        let is_sigkill =
            matches!(status, ExitStatus::Signal { number, .. } if number == libc::SIGKILL);
        let is_unexplained = is_sigkill && self.killed.is_none() && !self.is_asked;
        is_unexplained.then_some(
            "the master did not send it: if memory ran out, `dmesg` or the memory limit of the container shows it",
        )
    }

    /// What the worker itself reported about its end. That it returned, as it was asked to, is none.
    fn reason(&self, status: ExitStatus, now: Instant) -> Option<String> {
        match &self.main_end {
            Some(MainEnd::Returned) if self.is_asked => None,
            Some(end) => Some(end.to_string()),
            None => self.panic_behind(status, now).map(str::to_owned),
        }
    }

    /// The panic that ended the process, if one did: a server may have caught its last panic long ago.
    fn panic_behind(&self, status: ExitStatus, now: Instant) -> Option<&str> {
        /// A process that panics exits at once, but for a backtrace and a core dump.
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
    pub(super) fn still_running(&self, left: Duration, now: Instant) -> LogLine<'static> {
        let age = now.saturating_duration_since(self.started);
        let end = self
            .main_end
            .as_ref()
            .map_or_else(String::new, MainEnd::to_string);
        LogLine::of_running((self.slot, self.pid), age, end, left)
    }
}

/// All that is known about the end of a child.
#[derive(Debug)]
pub(super) struct Ending {
    worker: (usize, i32),
    status: ExitStatus,
    age: Duration,
    level: Level,
    /// What the master had to do with it.
    killed: String,
    reason: Option<String>,
    hint: Option<&'static str>,
}

impl Ending {
    /// `exited with status 1: main returned an error: no database`
    pub(super) fn how(&self) -> String {
        let how = format!("{}{}", exit_text(self.status), self.killed);
        match (&self.reason, self.killed.is_empty()) {
            (None, _) => how,
            (Some(reason), true) => format!("{how}: {reason}"),
            (Some(reason), false) => format!("{how}; {reason}"),
        }
    }

    /// The one line about it. If the log has named the cause already, it is the last of so many in a row.
    pub(super) fn line(&self, repeated: Option<u32>) -> LogLine<'static> {
        let reason = match (&self.reason, repeated) {
            (None, _) => None,
            (Some(_), Some(count)) => Some(format!("the same reason, {count} times in a row")),
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
        LogLine::of_end(self.level, self.worker, self.status, self.age, &why)
            .with_reason(self.reason.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
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

    /// A child of slot 0 that no process stands behind: its descriptor is never asked.
    fn child() -> Child {
        let null = std::fs::File::open("/dev/null").expect("it is there");
        let (channel, _) = Channel::pair().expect("descriptors");
        let process = (7, Pidfd::new(null.into()));
        Child::new(ChildId(1), 0, process, channel, Instant::now())
    }

    fn how(child: &Child, status: ExitStatus) -> String {
        child.ending(status, LIMITS, Instant::now()).how()
    }

    #[test]
    fn the_end_of_main_is_the_reason() {
        let mut child = child();
        child.main_end = Some(MainEnd::Failed("no database".to_owned()));
        let text = "exited with status 1: main returned an error: no database";
        assert_eq!(how(&child, ExitStatus::Code(1)), text);
        child.is_asked = true;
        let text = "exited with status 1, as asked; main returned an error: no database";
        assert_eq!(how(&child, ExitStatus::Code(1)), text);
        child.main_end = Some(MainEnd::Returned);
        assert_eq!(
            how(&child, ExitStatus::Code(0)),
            "exited with status 0, as asked"
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
    fn a_panic_of_long_ago_is_no_reason() {
        let mut child = child();
        child.last_panic = Some(("panicked: boom".to_owned(), Instant::now()));
        let later = Instant::now() + Duration::from_mins(1);
        assert_eq!(
            child.ending(ABORTED, LIMITS, later).how(),
            "was killed by SIGABRT"
        );
    }

    #[test]
    fn a_repeated_reason_is_named_once_and_stays_there_as_a_value() {
        let mut child = child();
        child.main_end = Some(MainEnd::Failed("no database".to_owned()));
        let ending = child.ending(ExitStatus::Code(1), LIMITS, Instant::now());
        let line = ending.line(Some(3));
        assert!(
            line.to_string()
                .ends_with(": the same reason, 3 times in a row"),
            "{line}"
        );
        assert_eq!(line.reason(), Some("main returned an error: no database"));
        assert!(ending.line(None).to_string().ends_with(": no database"));
    }
}
