//! One start, as the parent sees it: what to run, and what came of it.

use std::ffi::{CStr, CString, c_int};
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

use super::child::{Plan, child};
use super::stack::Stack;
use crate::sys::pidfd::Pidfd;
use crate::sys::signals::change_mask;

/// What to run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Image<'a> {
    /// The file behind this descriptor, whatever its path leads to by now.
    Held(BorrowedFd<'a>),
    /// The file at this path; scripts need it, since an interpreter opens them by name.
    Path(&'a CStr),
}

/// Everything about one start.
#[derive(Debug)]
pub(crate) struct Exec<'a> {
    pub(crate) image: Image<'a>,
    pub(crate) args: Vec<CString>,
    /// `NAME=value`, without `LISTEN_PID`.
    pub(crate) env: Vec<CString>,
    /// Placed at 3, 4, … in this order; everything above is closed.
    pub(crate) fds: Vec<BorrowedFd<'a>>,
    pub(crate) stdin: BorrowedFd<'a>,
    /// What the program starts with blocked.
    pub(crate) blocked: &'a [Signal],
    /// Sent to the program when the calling *thread* ends.
    pub(crate) parent_death: Signal,
}

/// Where a start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    /// The process could not be made.
    Clone,
    /// A descriptor could not be copied out of the way of another.
    CopyFds,
    /// A descriptor could not be moved to its place.
    PlaceFds,
    /// What is not meant for the child could not be closed.
    CloseStrays,
    /// The parent-death signal could not be set.
    ParentDeath,
    /// The parent ended meanwhile.
    Parent,
    /// The signal mask could not be set, before the clone or in the child.
    SetMask,
    /// The signal mask of this thread could not be restored: it receives no signal any more.
    RestoreMask,
    /// The program could not be executed.
    Exec,
}

impl Stage {
    /// The system call, for messages.
    pub(crate) fn call(self) -> &'static str {
        match self {
            Self::Clone => "clone",
            Self::CopyFds => "fcntl(F_DUPFD_CLOEXEC)",
            Self::PlaceFds => "dup2",
            Self::CloseStrays => "close_range",
            Self::ParentDeath => "prctl(PR_SET_PDEATHSIG)",
            Self::Parent => "getppid",
            Self::SetMask | Self::RestoreMask => "rt_sigprocmask",
            Self::Exec => "execve",
        }
    }
}

/// Why a child could not be started.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) stage: Stage,
    pub(crate) source: io::Error,
}

/// A started process.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) pid: i32,
    pub(crate) pidfd: Pidfd,
}

/// Starts the program and returns when it has been executed.
///
/// # Errors
/// With the stage that failed; then nothing is left of the child.
pub(crate) fn spawn(stack: &mut Stack, exec: &Exec<'_>) -> Result<Spawned, Failure> {
    let fail = |stage| move |source| Failure { stage, source };
    let mut plan = Plan::new(exec);
    // Until the child has reset its handlers, none may run in it: they would act on our memory.
    let before =
        change_mask(SigmaskHow::SIG_BLOCK, &SigSet::all()).map_err(fail(Stage::SetMask))?;
    let cloned = clone(stack, &mut plan);
    let restored = change_mask(SigmaskHow::SIG_SETMASK, &before);
    if let Err(error) = restored {
        if let Ok((_, pidfd)) = &cloned {
            end(pidfd);
        }
        return Err(fail(Stage::RestoreMask)(error));
    }
    let (pid, pidfd) = cloned.map_err(fail(Stage::Clone))?;
    match plan.failure {
        None => Ok(Spawned { pid, pidfd }),
        Some((stage, errno)) => {
            // It has ended already; this only reaps it.
            let _ = pidfd.wait();
            Err(fail(stage)(io::Error::from_raw_os_error(errno)))
        }
    }
}

/// Nothing is left of the child.
fn end(pidfd: &Pidfd) {
    // It may have ended already.
    let _ = pidfd.signal(Signal::SIGKILL);
    let _ = pidfd.wait();
}

fn clone(stack: &mut Stack, plan: &mut Plan<'_>) -> io::Result<(i32, Pidfd)> {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    let mut pidfd: c_int = -1;
    // SAFETY: the child gets a stack that nobody uses, and a plan that outlives it: this thread is
    // suspended until the child has executed or ended. `child` keeps to what is allowed there.
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
    // SAFETY: CLONE_PIDFD made this descriptor, close-on-exec, for us alone.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok((pid, Pidfd::new(pidfd)))
}
