//! The behavior of a scripted child, and its text form in an environment variable.
//!
//! This file knows no process; `child_main` plays the behavior.

use std::fmt;
use std::time::Duration;

use crate::signal::Signal;

/// What a worker of [`ScriptedChildren`](crate::ScriptedChildren) does.
///
/// A worker that keeps running exits with status 0 on SIGTERM, except [`Deaf`](Self::Deaf) and
/// [`Stuck`](Self::Stuck). Every worker exits when its master dies. A *frame* is a message on the
/// channel between the worker and its master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Behavior {
    /// Exits at once with status 0.
    Noop,
    /// Exits at once with this status.
    Exit(u8),
    /// Sends itself this signal at once.
    ///
    /// If the signal does not end the process, it exits with status 125.
    Signal(Signal),
    /// Reports this panic message to the master and exits with status 101.
    Panic(&'static str),
    /// Is ready at once, and keeps running.
    Live,
    /// Keeps running and sends no frame, like a program that does not use prefork.
    ///
    /// It is healthy after `healthy_after`.
    Silent,
    /// Is ready after this time (in whole milliseconds), and keeps running.
    Late(Duration),
    /// Announces that it will report readiness, never does, and keeps running.
    Unready,
    /// Is ready at once, and ignores the request to stop: the master must kill it.
    Deaf,
    /// Is ready at once, and stops itself with SIGSTOP: the master must kill it.
    Stuck,
    /// Is ready at once, and then sends frames to the master without a pause.
    Flood,
    /// Sends the master a frame that is longer than allowed, and keeps running.
    Liar,
}

impl Behavior {
    /// Reads the text form. It allocates nothing, because it runs before `main`.
    pub(crate) fn decode(text: &'static str) -> Option<Self> {
        let (name, detail) = text.split_once(':').unwrap_or((text, ""));
        Some(match name {
            "noop" => Self::Noop,
            "exit" => Self::Exit(detail.parse().ok()?),
            "signal" => Self::Signal(Signal::from_number(detail.parse().ok()?)?),
            "panic" => Self::Panic(detail),
            "live" => Self::Live,
            "silent" => Self::Silent,
            "late" => Self::Late(Duration::from_millis(detail.parse().ok()?)),
            "unready" => Self::Unready,
            "deaf" => Self::Deaf,
            "stuck" => Self::Stuck,
            "flood" => Self::Flood,
            "liar" => Self::Liar,
            _ => return None,
        })
    }
}

/// Writes the text form for the environment of the child.
impl fmt::Display for Behavior {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Noop => f.write_str("noop"),
            Self::Exit(status) => write!(f, "exit:{status}"),
            Self::Signal(signal) => write!(f, "signal:{}", i32::from(*signal)),
            Self::Panic(text) => write!(f, "panic:{text}"),
            Self::Live => f.write_str("live"),
            Self::Silent => f.write_str("silent"),
            Self::Late(delay) => write!(f, "late:{}", delay.as_millis()),
            Self::Unready => f.write_str("unready"),
            Self::Deaf => f.write_str("deaf"),
            Self::Stuck => f.write_str("stuck"),
            Self::Flood => f.write_str("flood"),
            Self::Liar => f.write_str("liar"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_behavior_is_read_as_it_was_written() {
        let all = [
            Behavior::Noop,
            Behavior::Exit(255),
            Behavior::Signal(Signal::SIGKILL),
            Behavior::Panic("a: b\n\x1b[2J"),
            Behavior::Live,
            Behavior::Silent,
            Behavior::Late(Duration::from_millis(1500)),
            Behavior::Unready,
            Behavior::Deaf,
            Behavior::Stuck,
            Behavior::Flood,
            Behavior::Liar,
        ];
        for behavior in all {
            let text: &'static str = behavior.to_string().leak();
            assert_eq!(Behavior::decode(text), Some(behavior), "{text}");
        }
    }

    #[test]
    fn other_texts_are_rejected() {
        for text in ["", "noop ", "exit", "exit:256", "signal:0", "late:-1"] {
            assert_eq!(Behavior::decode(text), None, "{text}");
        }
    }
}
