//! The child between clone and exec.
//!
//! It runs in the memory of its parent, and only makes system calls.

use std::ffi::{CString, c_char, c_int, c_void};
use std::os::fd::{AsRawFd, RawFd};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};

use super::spec::{ExecSpec, Executable, SpawnStage};
use crate::sys::affinity::CpuMask;
use crate::sys::fds::FIRST_FD;

/// The data that the child reads and writes.
///
/// All its memory is allocated before the clone.
pub(super) struct ChildPlan<'a> {
    image: Executable<'a>,
    args: Vec<*const c_char>,
    env: Vec<*const c_char>,
    listen_pid: ListenPid,
    /// The sources of 3, 4, …, then the program, then stdin, then stderr if it is set.
    ///
    /// Those that are also targets are moved.
    sources: Vec<RawFd>,
    count: RawFd,
    mask: libc::sigset_t,
    parent_death: Signal,
    parent: i32,
    cpu: Option<&'a CpuMask>,
    /// Why the child does not run on that CPU.
    pub(super) unpinned: Option<Errno>,
    /// The current stage of the child. If the child is killed, it is the last one.
    pub(super) stage: SpawnStage,
    pub(super) failure: Option<(SpawnStage, i32)>,
}

impl<'a> ChildPlan<'a> {
    pub(super) fn new(exec: &'a ExecSpec<'_>) -> Self {
        let pointers = |strings: &[CString]| -> Vec<*const c_char> {
            strings.iter().map(|string| string.as_ptr()).collect()
        };
        let mut sources: Vec<RawFd> = exec.fds.iter().map(AsRawFd::as_raw_fd).collect();
        let count = RawFd::try_from(sources.len()).unwrap_or(RawFd::MAX);
        sources.push(match exec.image {
            Executable::Open(fd) => fd.as_raw_fd(),
            Executable::Path(_) => exec.stdin.as_raw_fd(),
        });
        sources.push(exec.stdin.as_raw_fd());
        sources.extend(exec.stderr.map(|fd| fd.as_raw_fd()));
        let mut args = pointers(&exec.args);
        args.push(std::ptr::null());
        let mut env = pointers(&exec.env);
        // Two more elements: LISTEN_PID, which the child sets, and the terminator.
        env.extend([std::ptr::null(); 2]);
        Self {
            image: exec.image,
            args,
            env,
            listen_pid: ListenPid::new(),
            sources,
            count,
            mask: *exec.blocked.iter().copied().collect::<SigSet>().as_ref(),
            parent_death: exec.parent_death,
            parent: nix::unistd::getpid().as_raw(),
            cpu: exec.cpu.as_ref(),
            unpinned: None,
            stage: SpawnStage::CopyFds,
            failure: None,
        }
    }
}

impl ChildPlan<'_> {
    /// The number of descriptors from 3 on.
    fn listed(&self) -> usize {
        usize::try_from(self.count).unwrap_or(0)
    }

    fn program(&self) -> RawFd {
        self.sources[self.listed()]
    }
}

/// The entry of the child.
pub(super) extern "C" fn child(plan: *mut c_void) -> c_int {
    // SAFETY: `clone` passed a plan, which the parent does not access before the child has left.
    let plan = unsafe { &mut *plan.cast::<ChildPlan<'_>>() };
    let Err(failure) = become_program(plan);
    plan.failure = Some(failure);
    127
}

type StageResult = Result<(), (SpawnStage, i32)>;

fn become_program(plan: &mut ChildPlan<'_>) -> Result<std::convert::Infallible, (SpawnStage, i32)> {
    reset_handlers();
    move_fds(plan)?;
    plan.stage = SpawnStage::CloseOtherFds;
    close_other_fds(plan)?;
    plan.stage = SpawnStage::ParentDeath;
    arm_parent_death(plan)?;
    plan.stage = SpawnStage::SetMask;
    // SAFETY: getpid(2) takes no arguments and accesses no memory.
    let pid = unsafe { libc::getpid() };
    let at = plan.env.len() - 2;
    plan.env[at] = plan.listen_pid.write(pid);
    // SAFETY: the mask is an initialized set; null does not return the old mask.
    let result = unsafe {
        libc::sigprocmask(
            libc::SIG_SETMASK,
            &raw const plan.mask,
            std::ptr::null_mut(),
        )
    };
    check(result, SpawnStage::SetMask)?;
    plan.stage = SpawnStage::SetAffinity;
    plan.unpinned = plan.cpu.and_then(|cpu| cpu.apply_to(0).err());
    plan.stage = SpawnStage::Exec;
    Err(execute(plan))
}

/// Resets all signal handlers.
///
/// Exec does so too, but signals are unblocked before exec, and a handler of the parent must not
/// run in the child. Ignored signals even survive exec. The C library is not used: it may lock
/// (musl, for SIGABRT), and it rejects the signals 32 and 33, which it uses itself.
fn reset_handlers() {
    /// Larger than the structure of the kernel on every machine.
    ///
    /// All zeroes are `SIG_DFL` without flags.
    const DEFAULT: [u64; 8] = [0; 8];
    /// The size of the kernel's signal set, in bytes.
    const SET: usize = 8;
    for signal in 1..=64 {
        // SAFETY: the default action runs no code. For SIGKILL and SIGSTOP, the call only returns
        // an error.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                DEFAULT.as_ptr(),
                std::ptr::null_mut::<c_void>(),
                SET,
            )
        };
    }
}

/// Moves the descriptors to their numbers.
///
/// Sources are first copied above the targets, so that no target overwrites a source.
fn move_fds(plan: &mut ChildPlan<'_>) -> StageResult {
    let end = FIRST_FD + plan.count;
    for source in &mut plan.sources {
        if *source < end {
            // SAFETY: fcntl on a number; it fails if the number is not open.
            let moved = unsafe { libc::fcntl(*source, libc::F_DUPFD_CLOEXEC, end) };
            check(moved, SpawnStage::CopyFds)?;
            *source = moved;
        }
    }
    plan.stage = SpawnStage::MoveFds;
    let (listed, others) = plan.sources.split_at(plan.listed());
    let stdio = others[1..]
        .iter()
        .zip([libc::STDIN_FILENO, libc::STDERR_FILENO]);
    for (&source, target) in listed.iter().zip(FIRST_FD..).chain(stdio) {
        // SAFETY: dup2 on two numbers, which differ; the copy is not close-on-exec.
        check(unsafe { libc::dup2(source, target) }, SpawnStage::MoveFds)?;
    }
    Ok(())
}

/// Closes all other descriptors.
///
/// The child has its own copy of the descriptor table, so nothing is closed in the parent. The
/// program stays open for exec; its descriptor is close-on-exec.
fn close_other_fds(plan: &ChildPlan<'_>) -> StageResult {
    let first = (FIRST_FD + plan.count).cast_unsigned();
    let last = u32::MAX;
    let image = match plan.image {
        Executable::Open(_) => plan.program().cast_unsigned(),
        Executable::Path(_) => return close_range(first, last),
    };
    if image > first {
        close_range(first, image - 1)?;
    }
    close_range(image + 1, last)
}

fn close_range(first: u32, last: u32) -> StageResult {
    // SAFETY: three numbers. The descriptors are this process's copies, and it uses none of them.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    check(if result < 0 { -1 } else { 0 }, SpawnStage::CloseOtherFds)
}

/// Sets the parent-death signal (`prctl(2)`).
///
/// The kernel sends no signal if the parent has died before this call, so the parent is checked
/// after it.
fn arm_parent_death(plan: &ChildPlan<'_>) -> StageResult {
    let signal = plan.parent_death as libc::c_ulong;
    // SAFETY: prctl with numbers.
    let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) };
    check(result, SpawnStage::ParentDeath)?;
    // SAFETY: getppid(2) takes no arguments and accesses no memory.
    if unsafe { libc::getppid() } != plan.parent {
        return Err((SpawnStage::Parent, libc::ESRCH));
    }
    Ok(())
}

fn execute(plan: &ChildPlan<'_>) -> (SpawnStage, i32) {
    let (args, env) = (plan.args.as_ptr(), plan.env.as_ptr());
    match plan.image {
        Executable::Open(_) => {
            let image = plan.program();
            // SAFETY: both lists end with null, and the parent keeps their strings alive.
            unsafe {
                libc::syscall(
                    libc::SYS_execveat,
                    image,
                    c"".as_ptr(),
                    args,
                    env,
                    libc::AT_EMPTY_PATH,
                )
            };
        }
        Executable::Path(path) => {
            // SAFETY: as above.
            unsafe { libc::execve(path.as_ptr(), args, env) };
        }
    }
    (SpawnStage::Exec, errno())
}

fn check(result: c_int, stage: SpawnStage) -> StageResult {
    if result < 0 {
        return Err((stage, errno()));
    }
    Ok(())
}

fn errno() -> i32 {
    Errno::last_raw()
}

/// The string `LISTEN_PID=<pid>`. The child writes the pid, without allocating.
struct ListenPid([u8; 32]);

impl ListenPid {
    const NAME: &'static [u8] = b"LISTEN_PID=";

    fn new() -> Self {
        let mut text = [0; 32];
        text[..Self::NAME.len()].copy_from_slice(Self::NAME);
        Self(text)
    }

    fn write(&mut self, pid: i32) -> *const c_char {
        let mut digits = [0; 10];
        let mut rest = pid.unsigned_abs();
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        let (at, count) = (Self::NAME.len(), digits.len() - first);
        self.0[at..at + count].copy_from_slice(&digits[first..]);
        self.0[at + count] = 0;
        self.0.as_ptr().cast()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    #[test]
    fn listen_pid_is_written_in_decimal() {
        for (pid, expected) in [(1, c"LISTEN_PID=1"), (i32::MAX, c"LISTEN_PID=2147483647")] {
            let mut listen_pid = ListenPid::new();
            let text = listen_pid.write(pid);
            // SAFETY: `write` ends the string with a zero inside the array, which is still alive.
            assert_eq!(unsafe { CStr::from_ptr(text) }, expected);
        }
    }
}
