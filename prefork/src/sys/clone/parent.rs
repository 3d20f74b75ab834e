//! The parent's part of a start: the clone, the wait for the exec, and the result.

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::{Pid, getpgrp, setpgid};

use super::child::{ChildPlan, child};
use super::spec::{ExecSpec, SpawnFailure, SpawnStage};
use super::stack::{Mapping, Stack};
use crate::sys::exit_status::ExitStatus;
use crate::sys::pidfd::Pidfd;
use crate::sys::signals::change_mask;

/// How long the parent waits for the exec of the program.
pub(crate) struct ExecTimeout<'a> {
    pub(crate) limit: Duration,
    /// Called from time to time: whether the parent has something more urgent to do.
    pub(crate) is_urgent: &'a dyn Fn() -> bool,
}

/// A started process.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) pid: i32,
    pub(crate) pidfd: Pidfd,
    /// The program was not executed in time. The process was killed, and exits when the file system or
    /// the tracer releases it.
    pub(crate) is_hung: bool,
    /// Why the process does not run on the CPU of its specification.
    pub(crate) unpinned: Option<Errno>,
}

/// The first part of the wait, with all signals blocked. Nearly every exec takes less.
const UNINTERRUPTED_WAIT: Duration = Duration::from_millis(50);

/// The interval between two checks whether something is urgent. A signal that this thread handles
/// ends a wait earlier.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The time limit for the exit of a killed process, unless the kernel or a tracer holds it.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Starts the program and returns after its exec, or when the time limit is over.
///
/// # Errors
/// The stage that failed. The child does not exist then, unless a tracer holds it.
pub(crate) fn spawn(
    stack: &mut Stack,
    exec: &ExecSpec<'_>,
    timeout: &ExecTimeout<'_>,
) -> Result<Spawned, SpawnFailure> {
    let mapping = stack.mapping().map_err(fail(SpawnStage::Clone))?;
    let plan = Box::into_raw(Box::new(ChildPlan::new(exec)));
    let cloned = match clone_blocked(mapping, plan) {
        Ok(cloned) => cloned,
        Err(failure) => {
            // SAFETY: no child exists that could use the plan.
            drop(unsafe { Box::from_raw(plan) });
            return Err(failure);
        }
    };
    let wait = wait_for_exec(mapping, &cloned, timeout);
    let report = if wait == ExecWait::Stuck {
        // The stack and the plan are left to the child.
        stack.abandon();
        ChildReport {
            stage: SpawnStage::Exec,
            failure: None,
            unpinned: None,
        }
    } else {
        // SAFETY: the child has left this memory, and no other code has the plan.
        let plan = unsafe { Box::from_raw(plan) };
        ChildReport {
            stage: plan.stage,
            failure: plan.failure,
            unpinned: plan.unpinned,
        }
    };
    conclude(cloned, wait, &report)
}

fn fail(stage: SpawnStage) -> impl Fn(io::Error) -> SpawnFailure {
    move |source| SpawnFailure { stage, source }
}

/// A child after the clone.
struct Cloned {
    pid: i32,
    pidfd: Pidfd,
    started: Instant,
    /// Whether the child has left the memory of its parent.
    has_left: bool,
    /// The result of restoring the signal mask of this thread.
    restored: Result<(), SpawnFailure>,
}

/// Clones with all signals blocked, and waits for the usual time of an exec.
///
/// # Errors
/// There is no child.
fn clone_blocked(mapping: &Mapping, plan: *mut ChildPlan<'_>) -> Result<Cloned, SpawnFailure> {
    let started = Instant::now();
    // Until the child has reset its handlers, none may run in it: it would run on this memory.
    let before =
        change_mask(SigmaskHow::SIG_BLOCK, &SigSet::all()).map_err(fail(SpawnStage::SetMask))?;
    let cloned = clone(mapping, plan).map_err(fail(SpawnStage::Clone));
    let has_left = cloned.is_ok() && wait(mapping.word(), started + UNINTERRUPTED_WAIT);
    let restored = change_mask(SigmaskHow::SIG_SETMASK, &before)
        .map(drop)
        .map_err(fail(SpawnStage::RestoreMask));
    match cloned {
        Ok((pid, pidfd)) => Ok(Cloned {
            pid,
            pidfd,
            started,
            has_left,
            restored,
        }),
        Err(failure) => restored.and(Err(failure)),
    }
}

/// How the wait for an exec ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExecWait {
    /// The child has left the memory of its parent, by the exec or by an exit.
    Left,
    /// The child was killed and has left the memory.
    Killed,
    /// The child was killed, and the kernel or a tracer holds it.
    Stuck,
}

/// Waits for the exec, and kills a child that takes too long.
fn wait_for_exec(mapping: &Mapping, cloned: &Cloned, timeout: &ExecTimeout<'_>) -> ExecWait {
    let give_up_at = cloned.started + timeout.limit;
    let mut has_left = cloned.has_left;
    while !has_left
        && cloned.restored.is_ok()
        && Instant::now() < give_up_at
        && !(timeout.is_urgent)()
    {
        let check_at = Instant::now() + CHECK_INTERVAL;
        has_left = wait(mapping.word(), give_up_at.min(check_at));
    }
    if has_left {
        return ExecWait::Left;
    }
    // From here on the child executes nothing of this memory, even if it does not exit: the parent
    // may continue.
    let _ = cloned.pidfd.signal(Signal::SIGKILL);
    if wait(mapping.word(), Instant::now() + EXIT_TIMEOUT) {
        ExecWait::Killed
    } else {
        ExecWait::Stuck
    }
}

/// What the child has written into its plan.
struct ChildReport {
    stage: SpawnStage,
    failure: Option<(SpawnStage, i32)>,
    unpinned: Option<Errno>,
}

/// Decides the result of a start, and reaps a child that failed.
fn conclude(cloned: Cloned, wait: ExecWait, report: &ChildReport) -> Result<Spawned, SpawnFailure> {
    let Cloned { pid, pidfd, .. } = cloned;
    let reap = || pidfd.wait_until(Instant::now() + EXIT_TIMEOUT);
    if let Err(failure) = cloned.restored {
        let _ = pidfd.signal(Signal::SIGKILL);
        reap();
        return Err(failure);
    }
    if wait == ExecWait::Left {
        if let Some((stage, errno)) = report.failure {
            reap();
            return Err(fail(stage)(io::Error::from_raw_os_error(errno)));
        }
        if never_executed(pid, &pidfd) {
            return Err(fail(report.stage)(killed(reap())));
        }
    }
    Ok(Spawned {
        pid,
        pidfd,
        is_hung: wait != ExecWait::Left,
        unpinned: report.unpinned,
    })
}

/// Whether a process that has left the memory of its parent has exited without an exec.
///
/// Does not reap it. A child leaves the memory during its exec, or when it exits. `setpgid(2)` fails
/// only after an exec. The call changes nothing: it names the group that the child is in.
fn never_executed(pid: i32, pidfd: &Pidfd) -> bool {
    const STEP: Duration = Duration::from_millis(1);
    let give_up_at = Instant::now() + EXIT_TIMEOUT;
    loop {
        if setpgid(Pid::from_raw(pid), getpgrp()).is_err() || !is_marked(pid) {
            return false;
        }
        if pidfd.exits_before(Instant::now() + STEP) {
            return is_marked(pid);
        }
        if Instant::now() >= give_up_at {
            return false;
        }
    }
}

/// Whether the kernel marks the process as one that has not executed a program.
///
/// A kernel or emulator without the mark, in which `setpgid(2)` may succeed, never sets it. Called
/// only if `setpgid(2)` has succeeded.
fn is_marked(pid: i32) -> bool {
    /// `PF_FORKNOEXEC` of `include/linux/sched.h`.
    const FORKED_WITHOUT_EXEC: u64 = 0x40;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name is in parentheses and may contain any character. The state after it is field 3, the
    // flags are field 9 (`proc_pid_stat(5)`).
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
        Some(ExitStatus::Code(_) | ExitStatus::Unknown) | None => "the process exited".to_owned(),
    };
    let text = format!("{by} before the exec of its program");
    io::Error::new(io::ErrorKind::Interrupted, text)
}

/// Waits until the child has left the memory of its parent, or until the deadline.
///
/// Returns whether it has left.
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
        // The result is ignored: the child shares errno until it has left. The futex is not private,
        // because the kernel wakes a shared one (`clone(2)`, CLONE_CHILD_CLEARTID).
        // SAFETY: the word and the timeout are valid during the call.
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

/// The value of the word while the child uses this memory.
const BUSY: u32 = 1;

fn clone(mapping: &Mapping, plan: *mut ChildPlan<'_>) -> io::Result<(i32, Pidfd)> {
    let flags = libc::CLONE_VM | libc::CLONE_CHILD_CLEARTID | libc::CLONE_PIDFD | libc::SIGCHLD;
    match clone_with(mapping, plan, flags) {
        // An emulator of another machine may not run parent and child at the same time on one memory.
        // The parent is suspended then, without a limit.
        Err(Errno::EINVAL) => {
            let cloned = clone_with(mapping, plan, flags | libc::CLONE_VFORK)?;
            mapping.word().store(0, Ordering::Release);
            Ok(cloned)
        }
        cloned => Ok(cloned?),
    }
}

fn clone_with(
    mapping: &Mapping,
    plan: *mut ChildPlan<'_>,
    flags: c_int,
) -> nix::Result<(i32, Pidfd)> {
    let mut pidfd: c_int = -1;
    mapping.word().store(BUSY, Ordering::Release);
    // SAFETY: no other code uses the stack, and the plan outlives the child: neither is accessed
    // before the word is clear, or ever again. `child` only does what is allowed there.
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
    // SAFETY: CLONE_PIDFD has created this descriptor, close-on-exec; it has no other owner.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok((pid, Pidfd::new(pidfd)))
}
