//! How a rollout ended, as programs and operators get it.

use std::fmt;
use std::time::Duration;

use prefork_options::duration;

/// How a rollout ended: the result of [`Handle::reload`](crate::Handle::reload).
///
/// `Display` writes the text of the log line. Only `Superseded` has none: the log has the verdict of
/// the later request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RolloutVerdict {
    /// Every worker runs the new program. From now on, recovery starts it too.
    #[non_exhaustive]
    Accepted {
        /// The number of slots that have a worker of the new program.
        replaced: usize,
        /// The time from the start of the rollout to the verdict.
        took: Duration,
    },
    /// The workers run the program that they ran before.
    Refused(RolloutRefusal),
    /// A later request replaced this one before it began.
    Superseded,
    /// The master stops or has ended.
    Stopped,
}

/// Why a rollout was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RolloutRefusal {
    pub(super) stage: RolloutStage,
    pub(super) slot: Option<usize>,
    pub(super) pid: Option<i32>,
    pub(super) cause: String,
    pub(super) last_words: Option<String>,
    pub(super) stderr_tail: String,
    pub(super) rolled_back: usize,
    pub(super) left: usize,
    pub(super) took: Duration,
    /// The program that recovery starts.
    pub(super) accepted: String,
}

/// The stage at which a rollout was refused.
///
/// `Display` writes it in lower case, such as `ready`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RolloutStage {
    /// The program could not be opened.
    Open,
    /// A successor could not be started.
    Start,
    /// A successor exited before it was ready, or was not ready within `ready_timeout`. Or its program
    /// needs a restart of the master, because it has other listeners or options.
    Ready,
    /// A successor exited, or took back its readiness, while it served beside the worker that it was
    /// to replace.
    Soak,
    /// A successor exited after it had replaced a worker, before the rollout had ended.
    Serve,
    /// The rollout took longer than `rollout_timeout`.
    Timeout,
}

impl RolloutRefusal {
    /// Returns the stage at which the rollout was refused.
    pub fn stage(&self) -> RolloutStage {
        self.stage
    }

    /// Returns the slot of the successor that failed, from 0. `None` if no successor failed.
    pub fn slot(&self) -> Option<usize> {
        self.slot
    }

    /// Returns the process id of the successor that failed. `None` if it was not started.
    pub fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// Returns what happened, such as `exited with status 7`.
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// Returns what the successor reported about its end: a panic, or the error of its `main`.
    pub fn last_words(&self) -> Option<&str> {
        self.last_words.as_deref()
    }

    /// Returns what the successor wrote last to stderr: whole lines, at most 2 KiB.
    ///
    /// Control characters other than the end of a line are escaped. Empty if no successor failed, if
    /// it wrote nothing, if it had replaced a worker, or if the stderr of the master is a terminal.
    pub fn stderr_tail(&self) -> &str {
        &self.stderr_tail
    }

    /// Returns how many slots had a worker of the new program and got the previous one back.
    pub fn rolled_back(&self) -> usize {
        self.rolled_back
    }

    /// Returns how many slots still have a worker of the new program.
    ///
    /// The previous program could not replace it. If the worker exits, recovery starts the previous
    /// program.
    pub fn left(&self) -> usize {
        self.left
    }
}

impl fmt::Display for RolloutVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { replaced, took } => {
                let took = duration::rounded(*took);
                let plural = if *replaced == 1 { "" } else { "s" };
                write!(
                    f,
                    "rollout accepted after {took}: replaced {replaced} worker{plural}"
                )
            }
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Superseded => f.write_str("rollout superseded by a later request"),
            Self::Stopped => f.write_str("rollout ended by a stop of the master"),
        }
    }
}

impl fmt::Display for RolloutRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = duration::rounded(self.took);
        write!(f, "rollout refused after {took} (stage {}): ", self.stage)?;
        match (self.slot, self.pid) {
            (Some(slot), Some(pid)) => write!(f, "the successor in slot {slot} (pid {pid}) ")?,
            (Some(slot), None) => write!(f, "the successor in slot {slot} ")?,
            (None, _) => {}
        }
        f.write_str(&self.cause)?;
        match (&self.last_words, self.stderr_tail.lines().last()) {
            (Some(words), _) => write!(f, ": {words}")?,
            (None, Some(line)) => write!(f, "; its last line on stderr: {line}")?,
            (None, None) => {}
        }
        if self.rolled_back > 0 {
            write!(f, "; rolled back: {}", self.rolled_back)?;
        }
        if self.left > 0 {
            let left = self.left;
            write!(
                f,
                "; still with the new program, because it cannot be replaced: {left}"
            )?;
        }
        let other = if self.left > 0 { "other " } else { "" };
        let accepted = &self.accepted;
        write!(
            f,
            "; the {other}workers run the previous program, {accepted}"
        )
    }
}

impl fmt::Display for RolloutStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Start => "start",
            Self::Ready => "ready",
            Self::Soak => "soak",
            Self::Serve => "serve",
            Self::Timeout => "timeout",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_refusal_names_stage_successor_cause_and_what_serves() {
        let refusal = RolloutRefusal {
            stage: RolloutStage::Ready,
            slot: Some(3),
            pid: Some(12),
            cause: "exited with status 1".to_owned(),
            last_words: Some("main returned an error: no database".to_owned()),
            stderr_tail: "connecting\nno answer".to_owned(),
            rolled_back: 2,
            left: 0,
            took: Duration::from_millis(1_200),
            accepted: "/opt/app".to_owned(),
        };
        let text = "rollout refused after 1.2s (stage ready): the successor in slot 3 (pid 12) \
                    exited with status 1: main returned an error: no database; rolled back: 2; \
                    the workers run the previous program, /opt/app";
        assert_eq!(RolloutVerdict::Refused(refusal.clone()).to_string(), text);
        let refusal = RolloutRefusal {
            last_words: None,
            ..refusal
        };
        let text = text.replace(
            ": main returned an error: no database",
            "; its last line on stderr: no answer",
        );
        assert_eq!(RolloutVerdict::Refused(refusal).to_string(), text);
    }
}
