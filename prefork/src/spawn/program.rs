//! An executable file held open, so that it can be started again whatever becomes of its path.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
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

    /// A path by which other processes can execute it for as long as this one lives: the
    /// descriptor is close-on-exec, but a wrapper reaches it through its owner (`proc_pid_fd(5)`).
    pub(super) fn name_for_others(&self) -> PathBuf {
        let number = self.file.as_fd().as_raw_fd();
        format!("/proc/{}/fd/{number}", std::process::id()).into()
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
