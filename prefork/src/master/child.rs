//! A child as the master holds it: its process, its channel, and the facts for its log lines.

use std::io;
use std::time::{Duration, Instant};

use prefork_options::duration;

use super::notice::{EndedBy, WorkerExit, WorkerProcess, WorkerRole};
use crate::channel::{Channel, MainEnd, RateLimit};
use crate::supervisor::{ChildId, KillReason, ProgramId, Stop};
use crate::sys::exit_status::ExitStatus;
use crate::sys::pidfd::Pidfd;

/// The limits that the line about an exit names.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChildLimits {
    pub(super) ready_timeout: Duration,
    pub(super) shutdown_grace_period: Duration,
}

/// What notices have reported about the readiness of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReportedReadiness {
    None,
    Ready,
    TakenBack,
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
    /// What the master has done to it.
    pub(super) ended_by: EndedBy,
    /// The rule of the channel that it broke. The master kills it for that.
    pub(super) violation: Option<&'static str>,
    /// How its `main` ended; `None` while it runs.
    pub(super) main_end: Option<MainEnd>,
    /// The message and location of its last panic, as it sent them, and the time.
    pub(super) last_panic: Option<(String, Instant)>,
    pub(super) readiness: ReportedReadiness,
    /// The limit of log lines about its readiness.
    pub(super) readiness_rate: RateLimit,
    /// The program that it runs, unless `child_producer` named another one.
    pub(super) program: ProgramId,
    /// What it is to its slot.
    pub(super) role: WorkerRole,
    /// The CPU that it does not run on, and why, until the log has the line.
    pub(super) unpinned: Option<(usize, io::Error)>,
    /// It has sent the frame that it is not pinned.
    pub(super) has_reported_cpu: bool,
    /// The log has the line that it cannot take the sockets of other slots.
    pub(super) is_adoption_logged: bool,
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
            ended_by: EndedBy::Nothing,
            violation: None,
            main_end: None,
            last_panic: None,
            readiness: ReportedReadiness::None,
            readiness_rate: RateLimit::readiness(now),
            program: ProgramId::OWN,
            role: WorkerRole::Worker,
            unpinned: None,
            has_reported_cpu: false,
            is_adoption_logged: false,
            is_unreaped_logged: false,
        }
    }

    /// Collects all that is known about the exit.
    ///
    /// The log line, the hook of the replacement and the error of the master use it.
    pub(super) fn exit_report(&self, status: ExitStatus, now: Instant) -> WorkerExit {
        WorkerExit {
            worker: self.process(),
            status,
            age: now.saturating_duration_since(self.started),
            ended_by: self.ended_by,
            reason: self.reason(status, now),
        }
    }

    /// Records that the master asks it to stop, or stops itself.
    pub(super) fn note_stop_request(&mut self) {
        if self.ended_by == EndedBy::Nothing {
            self.ended_by = EndedBy::StopRequest;
        }
    }

    /// Records that the master kills it.
    pub(super) fn note_kill(
        &mut self,
        reason: KillReason,
        stop: Option<Stop>,
        limits: ChildLimits,
    ) {
        self.ended_by = match reason {
            KillReason::NotReady => EndedBy::ReadyTimeout(limits.ready_timeout),
            KillReason::OutOfTime if stop.is_some_and(Stop::is_immediate) => EndedBy::ImmediateStop,
            KillReason::OutOfTime => EndedBy::GracePeriod(limits.shutdown_grace_period),
            KillReason::Violation => {
                let rule = self.violation;
                EndedBy::Violation(rule.unwrap_or("broke the protocol between master and worker"))
            }
        };
    }

    pub(super) fn is_successor(&self) -> bool {
        self.role == WorkerRole::Successor
    }

    /// The process, as notices name it.
    pub(super) fn process(&self) -> WorkerProcess {
        WorkerProcess {
            slot: self.slot,
            pid: self.pid,
            role: self.role,
        }
    }

    /// Why it failed as a successor, if it has not exited yet.
    pub(super) fn failure(&self) -> String {
        match self.ended_by {
            EndedBy::ReadyTimeout(limit) => {
                let limit = duration::format(limit);
                format!("was not ready within ready_timeout ({limit})")
            }
            _ => self.violation.unwrap_or("ended").to_owned(),
        }
    }

    /// What it reported about its end.
    pub(super) fn last_words(&self) -> Option<String> {
        let end = self.main_end.as_ref().map(|end| match end {
            // Its arguments may not fit the listeners.
            MainEnd::Unable(error) => {
                format!("{error} (restart needed if the new program declares other listeners)")
            }
            MainEnd::Returned | MainEnd::Failed(_) | MainEnd::Panicked(_) => end.to_string(),
        });
        end.or_else(|| Some(self.last_panic.as_ref()?.0.clone()))
    }

    /// The cause that the worker itself reported.
    ///
    /// A return of `main` is no cause if the master requested it or killed the process.
    fn reason(&self, status: ExitStatus, now: Instant) -> Option<String> {
        match &self.main_end {
            Some(MainEnd::Returned) if self.ended_by != EndedBy::Nothing => None,
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
            ExitStatus::Code(code) => {
                let is_killed = !matches!(self.ended_by, EndedBy::Nothing | EndedBy::StopRequest);
                code != 0 && !is_killed
            }
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
        child.exit_report(status, Instant::now()).cause()
    }

    #[test]
    fn the_end_of_main_is_the_reason() {
        let mut child = child();
        child.main_end = Some(MainEnd::Failed("no database".to_owned()));
        let text = "exited with status 1: main returned an error: no database";
        assert_eq!(how(&child, ExitStatus::Code(1)), text);
        child.note_stop_request();
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
            child.exit_report(ABORTED, later).cause(),
            "was killed by SIGABRT"
        );
    }
}
