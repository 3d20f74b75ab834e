//! One start, as the parent sees it: what to run, and what came of it.

use std::ffi::{CStr, CString, c_int, c_void};
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::{Pid, getpgrp, setpgid};

use super::child::{Plan, child};
use super::stack::{Mapping, Stack};
use crate::sys::exit_status::ExitStatus;
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

/// How long the parent waits for the program to be executed.
pub(crate) struct Patience<'a> {
    pub(crate) limit: Duration,
    /// Asked from time to time whether something else is more urgent.
    pub(crate) is_over: &'a dyn Fn() -> bool,
}

/// A started process.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) pid: i32,
    pub(crate) pidfd: Pidfd,
    /// The program was not executed in time: the process was killed and may be there for as long as a file system or a
    /// tracer holds it.
    pub(crate) is_hung: bool,
}

/// Nearly every start is over by then; signals wait for so long.
const AT_ONCE: Duration = Duration::from_millis(50);

/// The time between two questions whether the patience is over. A signal ends a wait earlier, if this thread handles it.
const QUESTION_EVERY: Duration = Duration::from_millis(50);

/// What a process that ends needs, unless the kernel or a tracer holds it.
const END: Duration = Duration::from_secs(1);

/// Starts the program and returns when it has been executed, or when the patience is over.
///
/// # Errors
/// With the stage that failed; then nothing is left of the child, unless a tracer holds it.
pub(crate) fn spawn(
    stack: &mut Stack,
    exec: &Exec<'_>,
    patience: &Patience<'_>,
) -> Result<Spawned, Failure> {
    let fail = |stage| move |source| Failure { stage, source };
    let mapping = stack.mapping().map_err(fail(Stage::Clone))?;
    let plan = Box::into_raw(Box::new(Plan::new(exec)));
    let started = Instant::now();
    // Until the child has reset its handlers, none may run in it: they would act on our memory.
    let before = change_mask(SigmaskHow::SIG_BLOCK, &SigSet::all()).map_err(fail(Stage::SetMask));
    let cloned = before.map(|before| {
        let cloned = clone(mapping, plan).map_err(fail(Stage::Clone));
        let has_left = cloned.is_err() || wait(mapping.word(), started + AT_ONCE);
        let restored = change_mask(SigmaskHow::SIG_SETMASK, &before);
        (cloned, has_left, restored.map_err(fail(Stage::RestoreMask)))
    });
    let (cloned, mut has_left, restored) = match cloned {
        Ok(cloned) => cloned,
        Err(failure) => {
            // SAFETY: there is no child.
            drop(unsafe { Box::from_raw(plan) });
            return Err(failure);
        }
    };
    let give_up_at = started + patience.limit;
    while !has_left && restored.is_ok() && Instant::now() < give_up_at && !(patience.is_over)() {
        has_left = wait(
            mapping.word(),
            give_up_at.min(Instant::now() + QUESTION_EVERY),
        );
    }
    let is_hung = !has_left;
    if let (true, Ok((_, pidfd))) = (is_hung, &cloned) {
        // From here on the child executes nothing of this memory any more, wherever it is held: so the parent may go on.
        let _ = pidfd.signal(Signal::SIGKILL);
        has_left = wait(mapping.word(), Instant::now() + END);
    }
    let told = if has_left {
        // SAFETY: the child has left this memory; nobody else has the plan.
        let plan = unsafe { Box::from_raw(plan) };
        Told {
            stage: plan.stage,
            failure: plan.failure,
        }
    } else {
        // The plan is left to the child as well.
        stack.abandon();
        Told {
            stage: Stage::Exec,
            failure: None,
        }
    };
    if let Err(failure) = restored {
        if let Ok((_, pidfd)) = &cloned {
            let _ = pidfd.signal(Signal::SIGKILL);
            pidfd.wait_until(Instant::now() + END);
        }
        return Err(failure);
    }
    let (pid, pidfd) = cloned?;
    if is_hung {
        return Ok(Spawned {
            pid,
            pidfd,
            is_hung,
        });
    }
    if let Some((stage, errno)) = told.failure {
        // It has ended already; this only reaps it.
        pidfd.wait_until(Instant::now() + END);
        return Err(fail(stage)(io::Error::from_raw_os_error(errno)));
    }
    if never_executed(pid, &pidfd) {
        let status = pidfd.wait_until(Instant::now() + END);
        return Err(fail(told.stage)(killed(status)));
    }
    Ok(Spawned {
        pid,
        pidfd,
        is_hung,
    })
}

/// What a child has left in its plan.
struct Told {
    stage: Stage,
    failure: Option<(Stage, i32)>,
}

/// Whether a process that has left its parent's memory has ended without its program. It is not reaped.
///
/// A child leaves the memory while it executes its program, or while it ends. Only the first lets `setpgid(2)` fail, if
/// not at once. It is moved to the group that it is in.
fn never_executed(pid: i32, pidfd: &Pidfd) -> bool {
    const STEP: Duration = Duration::from_millis(1);
    let give_up_at = Instant::now() + END;
    loop {
        if setpgid(Pid::from_raw(pid), getpgrp()).is_err() || !is_marked(pid) {
            return false;
        }
        if pidfd.ends_before(Instant::now() + STEP) {
            return is_marked(pid);
        }
        if Instant::now() >= give_up_at {
            return false;
        }
    }
}

/// Whether the kernel has the mark at a process that it has not executed anything: a kernel without the mark, which may let
/// `setpgid(2)` pass, never has. Asked of the few that pass.
fn is_marked(pid: i32) -> bool {
    /// `PF_FORKNOEXEC` of `include/linux/sched.h`.
    const FORKED_WITHOUT_EXEC: u64 = 0x40;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name stands in brackets and may hold any character; the state behind it is field 3, the flags are field 9.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let flags = fields.split_whitespace().nth(9 - 3);
    flags
        .and_then(|flags| flags.parse::<u64>().ok())
        .is_some_and(|flags| flags & FORKED_WITHOUT_EXEC != 0)
}

fn killed(status: Option<ExitStatus>) -> io::Error {
    let by = match status {
        Some(ExitStatus::Signal { number, .. }) => match Signal::try_from(number) {
            Ok(signal) => format!("the process was killed by {signal}"),
            Err(_) => format!("the process was killed by signal {number}"),
        },
        Some(ExitStatus::Code(_) | ExitStatus::Unknown) | None => "the process ended".to_owned(),
    };
    let text = format!("{by} before its program began");
    io::Error::new(io::ErrorKind::Interrupted, text)
}

/// Waits until the child has left the memory of its parent, for no longer than `until`; whether it has.
fn wait(word: &AtomicU32, until: Instant) -> bool {
    loop {
        if word.load(Ordering::Acquire) == 0 {
            return true;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let seconds = libc::time_t::try_from(left.as_secs()).unwrap_or(libc::time_t::MAX);
        let timeout = libc::timespec {
            tv_sec: seconds,
            tv_nsec: left.subsec_nanos().into(),
        };
        // Why it returns is not asked: until the child has left, errno is its as well. Not private, since the kernel
        // does not wake so (`clone(2)`, CLONE_CHILD_CLEARTID).
        // SAFETY: the word and the time live for the call.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                word.as_ptr(),
                libc::FUTEX_WAIT,
                BUSY,
                &raw const timeout,
            )
        };
    }
}

/// The word's value while the child is there.
const BUSY: u32 = 1;

fn clone(mapping: &Mapping, plan: *mut Plan<'_>) -> io::Result<(i32, Pidfd)> {
    let flags = libc::CLONE_VM | libc::CLONE_CHILD_CLEARTID | libc::CLONE_PIDFD | libc::SIGCHLD;
    match clone_with(mapping, plan, flags) {
        // An emulator of other machines runs no child beside its parent on one memory. The parent is suspended then, for
        // as long as it takes.
        Err(Errno::EINVAL) => {
            let cloned = clone_with(mapping, plan, flags | libc::CLONE_VFORK)?;
            mapping.word().store(0, Ordering::Release);
            Ok(cloned)
        }
        cloned => Ok(cloned?),
    }
}

fn clone_with(mapping: &Mapping, plan: *mut Plan<'_>, flags: c_int) -> nix::Result<(i32, Pidfd)> {
    let mut pidfd: c_int = -1;
    mapping.word().store(BUSY, Ordering::Release);
    // SAFETY: the child gets a stack that nobody uses, and a plan that outlives it: neither is touched before the word is
    // clear, or ever again. `child` keeps to what is allowed there.
    let pid = unsafe {
        libc::clone(
            child,
            mapping.top(),
            flags,
            plan.cast(),
            &raw mut pidfd,
            std::ptr::null_mut::<c_void>(),
            mapping.word().as_ptr(),
        )
    };
    if pid < 0 {
        return Err(Errno::last());
    }
    // SAFETY: CLONE_PIDFD made this descriptor, close-on-exec, for us alone.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok((pid, Pidfd::new(pidfd)))
}
