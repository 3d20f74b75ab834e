//! The data of a start: what to run, and the stages in which it can fail.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::BorrowedFd;

use nix::sys::signal::Signal;

use crate::sys::affinity::CpuMask;

/// The program to run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Executable<'a> {
    /// The file of this descriptor, even if its path names another file now.
    Open(BorrowedFd<'a>),
    /// The file at this path.
    ///
    /// Scripts need a path, because an interpreter opens them by path.
    Path(&'a CStr),
}

/// The specification of one start.
#[derive(Debug)]
pub(crate) struct ExecSpec<'a> {
    pub(crate) image: Executable<'a>,
    pub(crate) args: Vec<CString>,
    /// `NAME=value`, without `LISTEN_PID`.
    pub(crate) env: Vec<CString>,
    /// The descriptors 3, 4, … of the program, in this order.
    ///
    /// All others above stderr are closed.
    pub(crate) fds: Vec<BorrowedFd<'a>>,
    pub(crate) stdin: BorrowedFd<'a>,
    /// `None`: the stderr of this process.
    pub(crate) stderr: Option<BorrowedFd<'a>>,
    /// The signals that the program starts with blocked.
    pub(crate) blocked: &'a [Signal],
    /// The signal that the program gets when the calling *thread* ends.
    pub(crate) parent_death: Signal,
    /// The CPU that the program runs on. `None`: those of this thread.
    pub(crate) cpu: Option<CpuMask>,
}

/// The stage in which a start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum SpawnStage {
    /// The process could not be created.
    Clone,
    /// A descriptor could not be copied above the target numbers.
    CopyFds,
    /// A descriptor could not be moved to its number.
    MoveFds,
    /// The other descriptors could not be closed.
    CloseOtherFds,
    /// The parent-death signal could not be set.
    ParentDeath,
    /// The parent ended before the parent-death signal was set.
    Parent,
    /// The signal mask could not be set, before the clone or in the child.
    SetMask,
    /// The signal mask of this thread could not be restored: it receives no signals now.
    RestoreMask,
    /// The process was killed when it set its CPU. An error of the call does not end the start.
    SetAffinity,
    /// The program could not be executed.
    Exec,
}

impl SpawnStage {
    /// The name of the system call, for messages.
    pub(crate) fn call(self) -> &'static str {
        match self {
            Self::Clone => "clone",
            Self::CopyFds => "fcntl(F_DUPFD_CLOEXEC)",
            Self::MoveFds => "dup2",
            Self::CloseOtherFds => "close_range",
            Self::ParentDeath => "prctl(PR_SET_PDEATHSIG)",
            Self::Parent => "getppid",
            Self::SetMask | Self::RestoreMask => "rt_sigprocmask",
            Self::SetAffinity => "sched_setaffinity",
            Self::Exec => "execve",
        }
    }
}

/// A failed start.
#[derive(Debug)]
pub(crate) struct SpawnFailure {
    pub(crate) stage: SpawnStage,
    pub(crate) source: io::Error,
}
