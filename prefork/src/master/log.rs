//! The one door for the master's lines. None of them may stop the loop, whoever reads stderr, or does not.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::backend::Backend;
use super::{Level, LogLine};
use crate::error::Error;
use crate::sys;
use crate::tls::{News, Weight};

/// The user's function that takes the lines.
pub(crate) type Logger = Box<dyn FnMut(&LogLine<'_>) + Send>;

/// Whether a logger was told why its master ended.
static IS_TOLD: AtomicBool = AtomicBool::new(false);

/// Where the master's lines go: to the user's function, else to what the program has installed, else to stderr.
#[derive(Default)]
pub(crate) struct Log {
    logger: Option<Logger>,
    /// Whoever took them panicked: nobody else is asked any more.
    has_panicked: bool,
}

/// Lines that stderr did not take, reported with the next one that it takes.
///
/// A process has one stderr: the count is shared by the logs of all its masters, and by the last line of the process.
static LOST: Lost = Lost(Mutex::new(0));

struct Lost(Mutex<u64>);

impl Lost {
    /// Writes one line, behind the number of those that were lost before it.
    fn write(&self, text: &str, mut write: impl FnMut(&[u8]) -> io::Result<()>) {
        let mut lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *lost > 0 {
            let plural = if *lost == 1 { " was" } else { "s were" };
            let notice = format!("prefork: {lost} line{plural} lost, stderr was full\n");
            if write(notice.as_bytes()).is_err() {
                *lost += 1;
                return;
            }
            *lost = 0;
        }
        if write(format!("prefork: {text}\n").as_bytes()).is_err() {
            *lost += 1;
        }
    }
}

/// What became of a line that was offered to whoever is there besides stderr.
enum Offered {
    Taken,
    ToNobody,
    /// By this name; nobody else is asked any more.
    ToPanicked(&'static str),
}

fn panicked(name: &str) -> String {
    format!("{name} panicked; the lines go to stderr from here on")
}

impl Log {
    pub(crate) fn new(logger: Option<Logger>) -> Self {
        Self {
            logger,
            ..Self::default()
        }
    }

    /// The user's function, unless it panicked.
    pub(crate) fn into_logger(self) -> Option<Logger> {
        self.logger
    }

    pub(crate) fn info(&mut self, text: &str) {
        self.line(&LogLine::plain(Level::Info, text));
    }

    pub(crate) fn warn(&mut self, text: &str) {
        self.line(&LogLine::plain(Level::Warn, text));
    }

    pub(crate) fn error(&mut self, text: &str) {
        self.line(&LogLine::plain(Level::Error, text));
    }

    pub(crate) fn news(&mut self, news: Vec<News>) {
        for news in news {
            let level = match news.weight() {
                Weight::Good => Level::Info,
                Weight::Warning => Level::Warn,
                Weight::Bad => Level::Error,
            };
            self.line(&LogLine::plain(level, &news.to_string()));
        }
    }

    pub(crate) fn line(&mut self, line: &LogLine<'_>) {
        match self.offer(line) {
            Offered::Taken => {}
            Offered::ToNobody => self.write(line.text()),
            Offered::ToPanicked(name) => {
                // What it was about to say is not lost, nor is what comes.
                self.write(line.text());
                self.write(&panicked(name));
            }
        }
    }

    /// Tells the logger, if there is one, why its master ends, and hands the result on.
    ///
    /// Here and not where the process ends, since a builder's error goes to the program first, and the logger is the
    /// master's, and gone by then. Others hear it from [`last`](Self::last).
    ///
    /// # Errors
    /// The one that it was given.
    pub(crate) fn ending<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if let (Err(error), true) = (&result, self.logger.is_some()) {
            IS_TOLD.store(true, Ordering::Release);
            self.line(&LogLine::plain(Level::Error, &error.paragraph()));
        }
        result
    }

    /// Why this process ends. It is on stderr whatever is installed, since that may filter it, or be gone already. What is
    /// installed is not told by us what it may have been told by the logger.
    pub(crate) fn last(text: &str) {
        let mut log = Self::default();
        let line = LogLine::plain(Level::Error, text);
        log.write(line.text());
        if IS_TOLD.load(Ordering::Acquire) {
            return;
        }
        match log.offer(&line) {
            Offered::Taken | Offered::ToNobody => {}
            Offered::ToPanicked(name) => log.write(&panicked(name)),
        }
    }

    fn offer(&mut self, line: &LogLine<'_>) -> Offered {
        let (name, result) = if let Some(logger) = &mut self.logger {
            let result = catch_unwind(AssertUnwindSafe(|| logger(line)));
            ("the logger", result)
        } else if let Some(backend) = self.backend() {
            let result = catch_unwind(AssertUnwindSafe(|| backend.take(line)));
            (backend.name(), result)
        } else {
            return Offered::ToNobody;
        };
        if result.is_ok() {
            return Offered::Taken;
        }
        self.logger = None;
        self.has_panicked = true;
        Offered::ToPanicked(name)
    }

    /// Asked for every line: a program may install something later, or in another thread alone.
    fn backend(&self) -> Option<Backend> {
        if self.has_panicked {
            return None;
        }
        Backend::installed()
    }

    #[expect(
        clippy::unused_self,
        reason = "a line that nobody else took is still a line of this log"
    )]
    fn write(&self, text: &str) {
        LOST.write(text, sys::stderr::write_now);
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("has_panicked", &self.has_panicked)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_logger_gets_the_lines_with_their_level_and_facts() {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&kept);
        let mut log = Log::new(Some(Box::new(move |line| {
            let entry = (line.level(), line.to_string(), line.slot());
            keep.lock().expect("nobody panics").push(entry);
        })));
        log.info("a");
        log.error("b\n");
        log.line(&LogLine::about_worker(Level::Warn, (3, 7), "went"));
        let kept = kept.lock().expect("nobody panics");
        let expected = [
            (Level::Info, "a".to_owned(), None),
            (Level::Error, "b\\n".to_owned(), None),
            (Level::Warn, "worker 3 (pid 7) went".to_owned(), Some(3)),
        ];
        assert_eq!(*kept, expected);
    }

    #[test]
    fn lost_lines_are_counted_until_a_line_is_written() {
        let lost = Lost(Mutex::new(0));
        let full = |_: &[u8]| Err(io::ErrorKind::WouldBlock.into());
        lost.write("a", full);
        lost.write("b", full);
        let mut written = String::new();
        lost.write("the end", |line| {
            written.push_str(&String::from_utf8_lossy(line));
            Ok(())
        });
        // The second one was not even tried: its notice failed.
        assert_eq!(
            written,
            "prefork: 2 lines were lost, stderr was full\nprefork: the end\n"
        );
        assert_eq!(*lost.0.lock().expect("nobody panics"), 0);
    }

    #[test]
    fn a_logger_that_panics_does_not_stop_the_master() {
        let mut log = Log::new(Some(Box::new(|_| panic!("out of ink"))));
        log.info("a line that goes to stderr");
        assert!(log.logger.is_none());
    }
}
