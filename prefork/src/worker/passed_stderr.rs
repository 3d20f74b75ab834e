//! The stderr of the master, which a successor gets back after it has replaced a worker.
//!
//! Until then, the stderr of the successor is a pipe to the master
//! (`master/successor_stderr.rs`). The successor holds the reading end, too: so a write to the pipe
//! does not fail although the master has died.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::stat::fstat;
use nix::unistd::dup2_stderr;

use crate::sys::stderr::{MAX_LINE, write_now};

#[derive(Debug)]
pub(super) struct PassedStderr {
    /// The stderr of the master.
    stderr: OwnedFd,
    /// The reading end of the pipe, non-blocking.
    reader: File,
}

impl PassedStderr {
    /// `None` if the descriptors were lost, because this process has too many.
    pub(super) fn new(descriptors: Vec<OwnedFd>) -> Option<Self> {
        let [stderr, reader] = descriptors.try_into().ok()?;
        let reader = File::from(reader);
        Some(Self { stderr, reader })
    }

    /// Makes the stderr of the master that of this process.
    pub(super) fn restore(&self) {
        // The program may have replaced its stderr, for example by a file.
        let is_pipe = |fd| fstat(fd).ok().map(|stat| (stat.st_dev, stat.st_ino));
        if is_pipe(io::stderr().as_fd()) == is_pipe(self.reader.as_fd()) {
            // It cannot fail for two open descriptors.
            let _ = dup2_stderr(&self.stderr);
        }
    }

    /// Does the same after the death of the master, and writes what the master has not read.
    ///
    /// The reading end stays open: a thread may wait in a write to the pipe. What does not fit into
    /// the stderr of the master is lost.
    pub(super) fn restore_and_flush(&mut self) {
        self.restore();
        let mut buffer = [0; MAX_LINE];
        while let Ok(length @ 1..) = self.reader.read(&mut buffer) {
            let _ = write_now(&buffer[..length]);
        }
    }
}
