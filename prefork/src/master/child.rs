//! A child as the master holds it: its process, its channel, and what is known for the log.

use std::time::Instant;

use super::{Level, LogLine};
use crate::channel::{Channel, Rate};
use crate::supervisor::{ChildId, KillReason};
use crate::sys::exit_status::ExitStatus;
use crate::sys::pidfd::Pidfd;

/// One process, from its start until it was reaped.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) id: ChildId,
    pub(super) slot: usize,
    pub(super) pid: i32,
    pub(super) pidfd: Pidfd,
    /// Until the child closes its end, or breaks the rules.
    pub(super) channel: Option<Channel>,
    pub(super) rate: Rate,
    pub(super) started: Instant,
    /// The master asked it to go.
    pub(super) is_asked: bool,
    /// The master killed it.
    pub(super) killed: Option<KillReason>,
    /// Somebody did not want to wait for its end.
    pub(super) is_hurried: bool,
    /// Which rule of the channel it broke.
    pub(super) violation: Option<&'static str>,
    /// A panic's message and place, as the child sent it.
    pub(super) last_words: Option<String>,
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
            rate: Rate::new(now),
            started: now,
            is_asked: false,
            killed: None,
            is_hurried: false,
            violation: None,
            last_words: None,
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

    /// The one line about its end.
    pub(super) fn obituary(&self, status: ExitStatus, now: Instant) -> LogLine<'static> {
        let mut why = match self.killed {
            None if self.is_asked => ", as asked".to_owned(),
            None => String::new(),
            Some(KillReason::NotReady) => ": it was not ready in time".to_owned(),
            Some(KillReason::OutOfTime) if self.is_hurried => ": it was to stop at once".to_owned(),
            Some(KillReason::OutOfTime) => ": its time to stop was over".to_owned(),
            Some(KillReason::Violation) => {
                format!(": {}", self.violation.unwrap_or("it broke the protocol"))
            }
        };
        if let Some(words) = &self.last_words {
            why.push_str("; it said: ");
            why.push_str(words);
        }
        let age = now.saturating_duration_since(self.started);
        let worker = (self.slot, self.pid);
        LogLine::of_end(self.gravity(status), worker, status, age, &why)
    }
}
