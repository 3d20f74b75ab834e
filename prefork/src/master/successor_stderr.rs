//! The stderr of successors: the master passes it on, and keeps its end for the verdict.
//!
//! The stderr of a successor is a pipe until the successor has replaced a worker. The master reads
//! the pipe and writes everything to its own stderr. If its reader is too slow, the master
//! stops reading, so a successor waits for that reader as any other worker does, and nothing is
//! lost.
//!
//! - A terminal stays the stderr of successors: programs ask at their start whether it is one, and
//!   its user sees what they write.
//! - A program that does not know the frames of prefork writes to the pipe as long as it runs.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, IsTerminal, PipeWriter, Read, pipe};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::poller::{EventSource, Poller};
use crate::supervisor::ChildId;
use crate::sys::stderr::{MAX_LINE, has_room, write_now};

/// The pipes of all successors.
#[derive(Debug, Default)]
pub(super) struct SuccessorStderr {
    pipes: HashMap<ChildId, StderrPipe>,
    /// When to write again to a stderr that was full, and how long to wait after that.
    ///
    /// `poll(2)` does not help, see `sys/stderr.rs`.
    retry: Option<(Instant, Duration)>,
    /// The number of retries.
    retries: usize,
}

#[derive(Debug)]
struct StderrPipe {
    /// `None` after the successor has exited or closed its end.
    reader: Option<File>,
    /// What was read and not written yet, such as the beginning of a line.
    unwritten: Vec<u8>,
    /// The number of bytes that were written.
    written: u64,
    /// The end of what was read.
    tail: Vec<u8>,
    /// The poller does not report it, because the stderr of the master is full.
    is_paused: bool,
    /// The successor writes to the stderr of the master from now on. Its end of the pipe closes.
    is_released: bool,
}

/// The result of reading a pipe.
#[derive(Debug, PartialEq, Eq)]
enum PipeState {
    /// Everything was read, and every whole line was written.
    Empty,
    /// The successor has written more.
    HasMore,
    /// The stderr of the master is full.
    Blocked,
    /// Everything was read, and the other end is closed.
    Ended,
}

/// The longest tail, in bytes.
const MAX_TAIL: usize = 2048;

/// How much is read from one pipe before other sources get their turn, in reads.
const READS_PER_TURN: usize = 16;

/// A pipe holds 64 KiB, unless the successor has enlarged it (pipe(7)).
const MAX_LAST_READS: usize = 64;

const FIRST_RETRY: Duration = Duration::from_millis(2);
const LAST_RETRY: Duration = Duration::from_secs(1);

impl SuccessorStderr {
    /// Creates a pipe for a successor. Returns its writing end, and its reading end for the
    /// successor to hold.
    ///
    /// `None` if stderr is a terminal or not open, or if no descriptors are left: the successor then
    /// has the stderr of the master.
    pub(super) fn open(&mut self, id: ChildId, poller: &Poller) -> Option<(PipeWriter, File)> {
        let stderr = io::stderr();
        if stderr.is_terminal() || fcntl(stderr.as_fd(), FcntlArg::F_GETFD).is_err() {
            return None;
        }
        let (reader, writer) = pipe().ok()?;
        let reader = File::from(std::os::fd::OwnedFd::from(reader));
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).ok()?;
        let copy = reader.try_clone().ok()?;
        poller.add(&reader, EventSource::Stderr(id)).ok()?;
        let pipe = StderrPipe {
            reader: Some(reader),
            unwritten: Vec::new(),
            written: 0,
            tail: Vec::new(),
            is_paused: false,
            is_released: false,
        };
        self.pipes.insert(id, pipe);
        Some((writer, copy))
    }

    /// Passes on what a successor has written.
    pub(super) fn read(&mut self, id: ChildId, poller: &Poller) {
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return;
        };
        match pipe.pass_on(READS_PER_TURN, write_output) {
            PipeState::Empty | PipeState::HasMore => {}
            PipeState::Blocked => {
                pipe.pause(poller);
                self.retry
                    .get_or_insert((Instant::now() + FIRST_RETRY, FIRST_RETRY));
            }
            PipeState::Ended => {
                pipe.close(poller);
                if pipe.is_released {
                    self.pipes.remove(&id);
                }
            }
        }
    }

    /// The successor has replaced a worker, and gets the stderr of the master.
    pub(super) fn release(&mut self, id: ChildId) {
        if let Some(pipe) = self.pipes.get_mut(&id) {
            pipe.is_released = true;
        }
    }

    /// The successor has exited: reads the rest, and closes the pipe.
    ///
    /// Processes that it has left behind may still hold the other end.
    pub(super) fn close(&mut self, id: ChildId, poller: &Poller) {
        let Some(pipe) = self.pipes.get_mut(&id) else {
            return;
        };
        pipe.read_rest();
        pipe.close(poller);
        if pipe.write(true, &mut write_output) == PipeState::Blocked {
            self.retry
                .get_or_insert((Instant::now() + FIRST_RETRY, FIRST_RETRY));
        }
    }

    /// When to write again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.retry.map(|(at, _)| at)
    }

    /// Writes again to a stderr that was full, if it is time.
    pub(super) fn retry_due(&mut self, now: Instant, poller: &Poller) {
        let Some((_, wait)) = self.retry.take_if(|(at, _)| *at <= now) else {
            return;
        };
        let waits = |pipe: &StderrPipe| pipe.is_paused || !pipe.unwritten.is_empty();
        let mut pipes: Vec<_> = self
            .pipes
            .iter_mut()
            .filter(|(_, pipe)| waits(pipe))
            .collect();
        // Another one is the first each time: it may use all the room.
        pipes.sort_unstable_by_key(|(id, _)| **id);
        let count = pipes.len().max(1);
        pipes.rotate_left(self.retries % count);
        self.retries = self.retries.wrapping_add(1);
        let (mut is_blocked, mut has_written) = (false, false);
        for (&id, pipe) in pipes {
            let before = pipe.written;
            is_blocked |= pipe.pass_on(READS_PER_TURN, write_output) == PipeState::Blocked
                || !pipe.resume(id, poller);
            has_written |= pipe.written > before;
        }
        if is_blocked {
            // If something was written, the reader of stderr is slow, but it reads.
            let wait = if has_written {
                FIRST_RETRY
            } else {
                (2 * wait).min(LAST_RETRY)
            };
            self.retry = Some((now + wait, wait));
        }
    }

    /// What a successor has written last, at most 2 KiB of whole lines.
    pub(super) fn tail(&mut self, id: ChildId, poller: &Poller) -> String {
        // It may still run.
        self.read(id, poller);
        let pipe = self.pipes.get(&id);
        pipe.map_or_else(String::new, |pipe| text(&pipe.tail))
    }

    /// A rollout has ended: the tails of its successors are not needed any more.
    pub(super) fn forget_ended(&mut self) {
        self.pipes
            .retain(|_, pipe| pipe.reader.is_some() || !pipe.unwritten.is_empty());
    }
}

impl StderrPipe {
    /// Reads and writes, at most this number of times.
    fn pass_on(
        &mut self,
        reads: usize,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> PipeState {
        for _ in 0..reads {
            if self.write(false, &mut write) == PipeState::Blocked {
                return PipeState::Blocked;
            }
            let space = MAX_LINE.saturating_sub(self.unwritten.len());
            match self.read_once(space) {
                Some(0) => {
                    let state = self.write(true, &mut write);
                    return if state == PipeState::Empty {
                        PipeState::Ended
                    } else {
                        state
                    };
                }
                Some(_) => {}
                None => return self.write(false, &mut write),
            }
        }
        PipeState::HasMore
    }

    /// Returns the number of bytes; 0 at the end, `None` if nothing is there.
    fn read_once(&mut self, at_most: usize) -> Option<usize> {
        let mut buffer = [0; MAX_LINE];
        let Some(reader) = &mut self.reader else {
            return Some(0);
        };
        let length = match reader.read(&mut buffer[..at_most]) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(_) => 0,
        };
        self.unwritten.extend_from_slice(&buffer[..length]);
        self.tail.extend_from_slice(&buffer[..length]);
        if self.tail.len() > 2 * MAX_TAIL {
            self.tail.drain(..self.tail.len() - MAX_TAIL - 1);
        }
        Some(length)
    }

    fn read_rest(&mut self) {
        for _ in 0..MAX_LAST_READS {
            if matches!(self.read_once(MAX_LINE), Some(0) | None) {
                return;
            }
        }
    }

    /// Writes the whole lines that were read, or everything.
    ///
    /// So no line of the master or of another worker comes between the parts of a line.
    fn write(
        &mut self,
        is_all: bool,
        write: &mut impl FnMut(&[u8]) -> io::Result<()>,
    ) -> PipeState {
        loop {
            let part = &self.unwritten[..self.unwritten.len().min(MAX_LINE)];
            let length = match part.iter().rposition(|&byte| byte == b'\n') {
                Some(at) => at + 1,
                None if is_all || part.len() == MAX_LINE => part.len(),
                None => 0,
            };
            if length == 0 {
                return PipeState::Empty;
            }
            match write(&part[..length]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return PipeState::Blocked;
                }
                // Stderr has no reader, or was closed: the master's own lines are lost, too.
                Ok(()) | Err(_) => drop(self.unwritten.drain(..length)),
            }
            self.written += length as u64;
        }
    }

    fn pause(&mut self, poller: &Poller) {
        if let Some(reader) = self.reader.as_ref().filter(|_| !self.is_paused) {
            poller.remove(reader);
            self.is_paused = true;
        }
    }

    /// Returns whether the poller reports it again. It does not if no memory is left.
    fn resume(&mut self, id: ChildId, poller: &Poller) -> bool {
        if let Some(reader) = self.reader.as_ref().filter(|_| self.is_paused) {
            self.is_paused = poller.add(reader, EventSource::Stderr(id)).is_err();
        }
        !self.is_paused
    }

    fn close(&mut self, poller: &Poller) {
        if let Some(reader) = self.reader.take().filter(|_| !self.is_paused) {
            poller.remove(&reader);
        }
        self.is_paused = false;
    }
}

/// Writes output of a successor, but leaves room for the log of the master.
///
/// The master drops a line if stderr is full (`log.rs`). A successor must not cause that.
fn write_output(output: &[u8]) -> io::Result<()> {
    if has_room() {
        write_now(output)
    } else {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// The whole lines at the end of this output, or the end of its last line. Control characters
/// other than the end of a line are escaped.
fn text(tail: &[u8]) -> String {
    let is_cut = tail.len() > MAX_TAIL;
    let mut text = String::new();
    for char in String::from_utf8_lossy(tail.trim_ascii_end()).chars() {
        if char.is_control() && char != '\n' {
            text.extend(char.escape_debug());
        } else {
            text.push(char);
        }
    }
    if !is_cut && text.len() <= MAX_TAIL {
        return text;
    }
    let end = &text[text.ceil_char_boundary(text.len().saturating_sub(MAX_TAIL))..];
    let lines = end.split_once('\n').map(|(_, lines)| lines);
    lines.unwrap_or(end).to_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_tail_begins_at_a_line_and_has_no_control_characters() {
        assert_eq!(text(b"one\ntwo\x1b[0m\r\n"), "one\ntwo\\u{1b}[0m");
        assert_eq!(text(b""), "");
        let lines: Vec<_> = (0..1000).map(|number| format!("line {number}")).collect();
        let lines = lines.join("\n");
        let end = text(&lines.as_bytes()[lines.len() - 2 * MAX_TAIL..]);
        assert!(
            end.len() <= MAX_TAIL && end.len() > MAX_TAIL - 10,
            "{}",
            end.len()
        );
        assert!(
            end.starts_with("line ") && end.ends_with("line 999"),
            "{end}"
        );
        let long = text("ä".repeat(MAX_TAIL).as_bytes());
        assert_eq!(long, "ä".repeat(MAX_TAIL / 2));
        // Escapes do not make it longer.
        assert!(text(&[0x1b; MAX_TAIL]).len() <= MAX_TAIL);
        // A character that was cut.
        assert_eq!(text(b"\xa4b"), "\u{fffd}b");
    }

    #[test]
    fn a_full_stderr_holds_back_the_successor_and_loses_nothing() {
        let mut all = SuccessorStderr::default();
        let poller = Poller::new().expect("free descriptors");
        // The stderr of this test may be a terminal.
        let Some((mut writer, _copy)) = all.open(ChildId(1), &poller) else {
            return;
        };
        let pipe = all.pipes.get_mut(&ChildId(1)).expect("it was opened");
        writer.write_all(b"begin\n").expect("space");
        let mut written = Vec::new();
        let mut write = |bytes: &[u8]| {
            written.extend_from_slice(bytes);
            Ok(())
        };
        assert_eq!(pipe.pass_on(16, &mut write), PipeState::Empty);
        writer.write_all(&vec![b'x'; 60_000]).expect("space");
        let full = |_: &[u8]| Err(io::ErrorKind::WouldBlock.into());
        for _ in 0..10 {
            assert_eq!(pipe.pass_on(16, full), PipeState::Blocked);
        }
        assert_eq!(pipe.unwritten.len(), MAX_LINE, "no more is read");
        assert!(pipe.tail.len() <= 2 * MAX_TAIL);
        assert_eq!(pipe.pass_on(2, &mut write), PipeState::HasMore);
        drop(writer);
        assert_eq!(pipe.pass_on(16, &mut write), PipeState::Ended);
        assert_eq!(written.len(), 60_006);
    }

    #[test]
    fn a_log_line_does_not_cut_a_line_of_a_successor() {
        let mut pipe = StderrPipe {
            reader: None,
            unwritten: [&b"line\n"[..], &[b'y'; MAX_LINE]].concat(),
            written: 0,
            tail: Vec::new(),
            is_paused: false,
            is_released: false,
        };
        let mut parts = Vec::new();
        let mut write = |bytes: &[u8]| {
            parts.push(bytes.len());
            Ok(())
        };
        assert_eq!(pipe.write(true, &mut write), PipeState::Empty);
        assert_eq!(parts, [5, MAX_LINE]);
    }
}
