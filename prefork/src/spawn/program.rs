//! An executable file held open, so that it can be started again whatever becomes of its path.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// The program that this process runs, by descriptor.
#[derive(Debug)]
pub(crate) struct Program {
    file: File,
    path: PathBuf,
}

impl Program {
    /// Opens the file that this process was started from: not its path, which may lead to a newer
    /// one by now.
    ///
    /// # Errors
    /// `/proc` is not mounted, or no descriptors are left.
    pub(crate) fn current() -> io::Result<Self> {
        let link = "/proc/self/exe";
        // O_PATH: executing needs no permission to read (open(2)).
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(link)?;
        let path = std::fs::read_link(link)?;
        Ok(Self { file, path })
    }

    /// Where it was when it was opened, for messages.
    pub(crate) fn path(&self) -> String {
        self.path.display().to_string()
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
