//! The parent's part of a start: what to run, and the result.

use std::ffi::{CStr, CString, c_int};
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

use super::child::{ChildPlan, child};
use super::stack::Stack;
use crate::sys::pidfd::Pidfd;
use crate::sys::signals::change_mask;

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
    /// The signals that the program starts with blocked.
    pub(crate) blocked: &'a [Signal],
    /// The signal that the program gets when the calling *thread* ends.
    pub(crate) parent_death: Signal,
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

/// A started process.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) pid: i32,
    pub(crate) pidfd: Pidfd,
}

/// Starts the program, and returns when the child has executed it.
///
/// # Errors
/// The stage that failed. The child does not exist any more.
pub(crate) fn spawn(stack: &mut Stack, exec: &ExecSpec<'_>) -> Result<Spawned, SpawnFailure> {
    let fail = |stage| move |source| SpawnFailure { stage, source };
    let mut plan = ChildPlan::new(exec);
    // Until the child has reset its handlers, none may run in it: it would run in this memory.
    let before =
        change_mask(SigmaskHow::SIG_BLOCK, &SigSet::all()).map_err(fail(SpawnStage::SetMask))?;
    let cloned = clone(stack, &mut plan);
    let restored = change_mask(SigmaskHow::SIG_SETMASK, &before);
    if let Err(error) = restored {
        if let Ok((_, pidfd)) = &cloned {
            end(pidfd);
        }
        return Err(fail(SpawnStage::RestoreMask)(error));
    }
    let (pid, pidfd) = cloned.map_err(fail(SpawnStage::Clone))?;
    match plan.failure {
        None => Ok(Spawned { pid, pidfd }),
        Some((stage, errno)) => {
            // The child has exited; this only reaps it.
            let _ = pidfd.wait();
            Err(fail(stage)(io::Error::from_raw_os_error(errno)))
        }
    }
}

/// Kills and reaps the child.
fn end(pidfd: &Pidfd) {
    // It may have exited already.
    let _ = pidfd.signal(Signal::SIGKILL);
    let _ = pidfd.wait();
}

fn clone(stack: &mut Stack, plan: &mut ChildPlan<'_>) -> io::Result<(i32, Pidfd)> {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    let mut pidfd: c_int = -1;
    // SAFETY: the stack is not in use, and the plan outlives the child: this thread is suspended
    // until the child has executed the program or exited. `child` only does what is allowed there.
    let pid = unsafe {
        libc::clone(
            child,
            stack.top(),
            flags,
            std::ptr::from_mut(plan).cast(),
            &raw mut pidfd,
        )
    };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: CLONE_PIDFD has created this descriptor, close-on-exec; it has no other owner.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok((pid, Pidfd::new(pidfd)))
}
