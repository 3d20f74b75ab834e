//! What a child on demand does, and the word by which it is told: one variable of its environment.
//!
//! Knows no process; `act` does what is said here.

use std::fmt;
use std::time::Duration;

use nix::sys::signal::Signal;

/// What a child of [`Children`](crate::Children) does instead of running the test program.
///
/// Those that live end with status 0 on SIGTERM, but for [`Deaf`](Self::Deaf) and
/// [`Stuck`](Self::Stuck), and none of them outlives its master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Behaviour {
    /// Ends at once with status 0.
    Noop,
    /// Ends at once with this status.
    Exit(u8),
    /// Is ended at once by this signal; with status 125 if it is one that does not end a process.
    Signal(Signal),
    /// Says these last words, as a panic does, and ends with status 101.
    Panic(&'static str),
    /// Is ready at once, and lives.
    Live,
    /// Lives, and says nothing, as a program that does not know prefork: it counts as ready after
    /// `healthy_after`.
    Silent,
    /// Is ready after this time, to the millisecond, and lives.
    Late(Duration),
    /// Says that it will be ready, never is, and lives.
    Unready,
    /// Is ready at once, and ignores that it is asked to go: it has to be killed.
    Deaf,
    /// Is ready at once, and stops itself by SIGSTOP: it hangs, and has to be killed.
    Stuck,
    /// Is ready at once, and then sends the master one message after another.
    Flood,
    /// Sends the master a message that is longer than any may be, and lives.
    Liar,
}

impl Behaviour {
    /// Never allocates: it is read before `main`.
    pub(crate) fn decode(text: &'static str) -> Option<Self> {
        let (word, detail) = text.split_once(':').unwrap_or((text, ""));
        Some(match word {
            "noop" => Self::Noop,
            "exit" => Self::Exit(detail.parse().ok()?),
            "signal" => Self::Signal(Signal::try_from(detail.parse::<i32>().ok()?).ok()?),
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

/// The word by which a child is told.
impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Noop => f.write_str("noop"),
            Self::Exit(status) => write!(f, "exit:{status}"),
            Self::Signal(signal) => write!(f, "signal:{}", *signal as i32),
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
    fn every_behaviour_is_read_as_it_was_written() {
        let all = [
            Behaviour::Noop,
            Behaviour::Exit(255),
            Behaviour::Signal(Signal::SIGKILL),
            Behaviour::Panic("a: b\n\x1b[2J"),
            Behaviour::Live,
            Behaviour::Silent,
            Behaviour::Late(Duration::from_millis(1500)),
            Behaviour::Unready,
            Behaviour::Deaf,
            Behaviour::Stuck,
            Behaviour::Flood,
            Behaviour::Liar,
        ];
        for behaviour in all {
            let text: &'static str = behaviour.to_string().leak();
            assert_eq!(Behaviour::decode(text), Some(behaviour), "{text}");
        }
    }

    #[test]
    fn other_words_are_refused() {
        for text in ["", "noop ", "exit", "exit:256", "signal:0", "late:-1"] {
            assert_eq!(Behaviour::decode(text), None, "{text}");
        }
    }
}
