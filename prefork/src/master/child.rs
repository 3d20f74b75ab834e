//! A child as the master holds it: its process, its channel, and the facts for its log lines.

use std::time::{Duration, Instant};

use super::notice::{EndedBy, WorkerExit, WorkerProcess};
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
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts for the log"
)]
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
    /// It reported that it is ready.
    pub(super) is_ready: bool,
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
            is_ready: false,
            is_unreaped_logged: false,
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
    ) -> WorkerExit {
        WorkerExit {
            worker: self.process(),
            status,
            age: now.saturating_duration_since(self.started),
            ended_by: match self.killed {
                None if self.is_asked_to_stop => EndedBy::StopRequest,
                None => EndedBy::Nothing,
                Some(KillReason::NotReady) => EndedBy::ReadyTimeout(limits.ready_timeout),
                Some(KillReason::OutOfTime) if self.is_stopped_at_once => EndedBy::ImmediateStop,
                Some(KillReason::OutOfTime) => EndedBy::GracePeriod(limits.shutdown_grace_period),
                Some(KillReason::Violation) => EndedBy::Violation(
                    self.violation
                        .unwrap_or("broke the protocol between master and worker"),
                ),
            },
            reason: self.reason(status, now),
        }
    }

    /// The process, as notices name it.
    pub(super) fn process(&self) -> WorkerProcess {
        WorkerProcess {
            slot: self.slot,
            pid: self.pid,
        }
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
}
