//! A child as the master holds it: its process, its channel, and what is known for the log.

use std::time::{Duration, Instant};

use super::Level;
use crate::channel::{Endpoint, Rate};
use crate::supervisor::{ChildId, KillReason};
use crate::sys::pidfd::{ExitStatus, Pidfd};

/// One process, from its start until it was reaped.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) id: ChildId,
    pub(super) slot: usize,
    pub(super) pid: i32,
    pub(super) pidfd: Pidfd,
    /// Until the child closes its end, or breaks the rules.
    pub(super) channel: Option<Endpoint>,
    pub(super) rate: Rate,
    pub(super) started: Instant,
    /// The master asked it to go.
    pub(super) is_asked: bool,
    /// The master killed it.
    pub(super) killed: Option<KillReason>,
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
        channel: Endpoint,
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
            violation: None,
            last_words: None,
        }
    }

    /// How much the line about its end should be noticed.
    pub(super) fn gravity(&self, status: ExitStatus) -> Level {
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
    pub(super) fn obituary(&self, status: ExitStatus, now: Instant) -> String {
        let Self { slot, pid, .. } = self;
        let age = age(now.saturating_duration_since(self.started));
        let mut line = format!("worker {slot} (pid {pid}) {} after {age}", Ending(status));
        match self.killed {
            None if self.is_asked => line.push_str(", as asked"),
            None => {}
            Some(KillReason::NotReady) => line.push_str(": it was not ready in time"),
            Some(KillReason::OutOfTime) => line.push_str(": its time to stop was over"),
            Some(KillReason::Violation) => {
                line.push_str(": ");
                line.push_str(self.violation.unwrap_or("it broke the protocol"));
            }
        }
        if let Some(words) = &self.last_words {
            line.push_str("; it said: ");
            line.push_str(words);
        }
        line
    }
}

struct Ending(ExitStatus);

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            ExitStatus::Code(code) => write!(f, "exited with status {code}"),
            ExitStatus::Signal {
                number,
                core_dumped,
            } => {
                let core = if core_dumped { " (core dumped)" } else { "" };
                match nix::sys::signal::Signal::try_from(number) {
                    Ok(signal) => write!(f, "was killed by {signal}{core}"),
                    Err(_) => write!(f, "was killed by signal {number}{core}"),
                }
            }
            ExitStatus::Unknown => f.write_str("ended, its status is lost"),
        }
    }
}

fn age(age: Duration) -> String {
    match age.as_secs() {
        0 => format!("{} ms", age.as_millis()),
        seconds @ 1..=59 => format!("{seconds}.{} s", age.subsec_millis() / 100),
        seconds @ 60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_like_people_say_them() {
        let cases = [
            (3, "3 ms"),
            (1_250, "1.2 s"),
            (61_000, "1 min 1 s"),
            (7_260_000, "2 h 1 min"),
        ];
        for (milliseconds, expected) in cases {
            assert_eq!(age(Duration::from_millis(milliseconds)), expected);
        }
    }

    #[test]
    fn endings_name_the_signal() {
        let signal = |number, core_dumped| ExitStatus::Signal {
            number,
            core_dumped,
        };
        assert_eq!(
            Ending(signal(9, false)).to_string(),
            "was killed by SIGKILL"
        );
        assert_eq!(
            Ending(signal(6, true)).to_string(),
            "was killed by SIGABRT (core dumped)"
        );
        assert_eq!(
            Ending(signal(40, false)).to_string(),
            "was killed by signal 40"
        );
        assert_eq!(
            Ending(ExitStatus::Code(0)).to_string(),
            "exited with status 0"
        );
    }
}
