//! The master's lines. None of them may stop the loop, whoever reads stderr, or does not.

use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::sys;

/// How much a line of the master's should be noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Level {
    /// What was asked for happened.
    Info,
    /// Something happened that nobody asked for, and the master goes on; a worker that ended with
    /// status 0, for example.
    Warn,
    /// Something failed: a worker died, a start was refused, the master ends.
    Error,
}

/// One line of the master's, as a [`logger`](crate::Prefork::logger) is given it.
///
/// `Display` writes the text: one line, control characters escaped, at most 4,096 bytes.
#[derive(Debug, Clone, Copy)]
pub struct LogLine<'a> {
    level: Level,
    text: &'a str,
}

impl LogLine<'_> {
    /// How much it should be noticed.
    pub fn level(&self) -> Level {
        self.level
    }
}

impl fmt::Display for LogLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// The user's function that takes the lines.
pub(crate) type Logger = Box<dyn FnMut(&LogLine<'_>) + Send>;

/// Where the master's lines go.
#[derive(Default)]
pub(crate) struct Log {
    /// stderr where there is none.
    logger: Option<Logger>,
    /// Lines that stderr did not take, told when it does.
    lost: u64,
}

impl Log {
    pub(crate) fn new(logger: Option<Logger>) -> Self {
        Self { logger, lost: 0 }
    }

    pub(crate) fn info(&mut self, text: &str) {
        self.line(Level::Info, text);
    }

    pub(crate) fn warn(&mut self, text: &str) {
        self.line(Level::Warn, text);
    }

    pub(crate) fn error(&mut self, text: &str) {
        self.line(Level::Error, text);
    }

    /// A part of a text may come from a child: it stays one line, of bounded length.
    pub(crate) fn line(&mut self, level: Level, text: &str) {
        let text = escape(text);
        let Some(logger) = &mut self.logger else {
            return self.write(&text);
        };
        let line = LogLine { level, text: &text };
        if catch_unwind(AssertUnwindSafe(|| logger(&line))).is_err() {
            // What it was about to say is not lost, nor is what comes.
            self.logger = None;
            self.write(&text);
            self.write("the logger panicked; the lines go to stderr from here on");
        }
    }

    fn write(&mut self, text: &str) {
        if self.lost > 0 {
            let notice = format!("prefork: {} lines were lost, stderr was full\n", self.lost);
            if sys::stderr::write_now(notice.as_bytes()).is_err() {
                self.lost += 1;
                return;
            }
            self.lost = 0;
        }
        if sys::stderr::write_now(format!("prefork: {text}\n").as_bytes()).is_err() {
            self.lost += 1;
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}

/// Where is served, for the line that every start prints.
pub(crate) fn describe<'a>(addrs: impl Iterator<Item = (&'a str, SocketAddr)>) -> String {
    let addrs: Vec<String> = addrs.map(|(name, addr)| format!("{name}={addr}")).collect();
    match addrs.as_slice() {
        [] => "running".to_owned(),
        addrs => format!("serving on {}", addrs.join(", ")),
    }
}

/// The name in front and the end of the line are a part of what a pipe takes at once.
fn escape(text: &str) -> String {
    const MAX: usize = sys::stderr::MAX_LINE - 32;
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if line.len() >= MAX {
            break;
        }
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_line_stays_one_line_of_bounded_length() {
        assert_eq!(escape("a\nb\x1b[2J"), "a\\nb\\u{1b}[2J");
        assert!(escape(&"\x1b".repeat(10_000)).len() <= sys::stderr::MAX_LINE - 16);
    }

    #[test]
    fn a_logger_gets_the_lines_with_their_level() {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&kept);
        let mut log = Log::new(Some(Box::new(move |line| {
            let entry = (line.level(), line.to_string());
            keep.lock().expect("nobody panics").push(entry);
        })));
        log.info("a");
        log.error("b\n");
        let kept = kept.lock().expect("nobody panics");
        let expected = [
            (Level::Info, "a".to_owned()),
            (Level::Error, "b\\n".to_owned()),
        ];
        assert_eq!(*kept, expected);
    }

    #[test]
    fn a_logger_that_panics_does_not_stop_the_master() {
        let mut log = Log::new(Some(Box::new(|_| panic!("out of ink"))));
        log.info("a line that goes to stderr");
        assert!(log.logger.is_none());
    }
}
