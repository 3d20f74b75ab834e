//! A child between clone and exec, on its parent's memory: system calls and nothing else.

use std::ffi::{CString, c_char, c_int, c_void};
use std::os::fd::{AsRawFd, RawFd};

use nix::sys::signal::{SigSet, Signal};

use super::exec::{Exec, Image, Stage};
use crate::sys::fds::FIRST_FD;

/// What the child reads and writes; all memory of it is allocated before the clone.
pub(super) struct Plan<'a> {
    image: Image<'a>,
    args: Vec<*const c_char>,
    env: Vec<*const c_char>,
    listen_pid: ListenPid,
    /// Sources of 3, 4, …, then the image, then stdin: moved when they lie in the way.
    sources: Vec<RawFd>,
    placed: RawFd,
    mask: libc::sigset_t,
    parent_death: Signal,
    parent: i32,
    /// What the child does now: where it was if it is killed.
    pub(super) stage: Stage,
    pub(super) failure: Option<(Stage, i32)>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(exec: &'a Exec<'_>) -> Self {
        let pointers = |strings: &[CString]| -> Vec<*const c_char> {
            strings.iter().map(|string| string.as_ptr()).collect()
        };
        let mut sources: Vec<RawFd> = exec.fds.iter().map(AsRawFd::as_raw_fd).collect();
        let placed = RawFd::try_from(sources.len()).unwrap_or(RawFd::MAX);
        sources.push(match exec.image {
            Image::Held(fd) => fd.as_raw_fd(),
            Image::Path(_) => exec.stdin.as_raw_fd(),
        });
        sources.push(exec.stdin.as_raw_fd());
        let mut args = pointers(&exec.args);
        args.push(std::ptr::null());
        let mut env = pointers(&exec.env);
        // Two places more: LISTEN_PID's, which the child fills in, and the end.
        env.extend([std::ptr::null(); 2]);
        Self {
            image: exec.image,
            args,
            env,
            listen_pid: ListenPid::new(),
            sources,
            placed,
            mask: *exec.blocked.iter().copied().collect::<SigSet>().as_ref(),
            parent_death: exec.parent_death,
            parent: nix::unistd::getpid().as_raw(),
            stage: Stage::CopyFds,
            failure: None,
        }
    }
}

/// The child's whole life before its program.
pub(super) extern "C" fn child(plan: *mut c_void) -> c_int {
    // SAFETY: `clone` passed a plan, which the parent does not touch before the child has left.
    let plan = unsafe { &mut *plan.cast::<Plan<'_>>() };
    let Err(failure) = become_program(plan);
    plan.failure = Some(failure);
    127
}

type Step = Result<(), (Stage, i32)>;

fn become_program(plan: &mut Plan<'_>) -> Result<std::convert::Infallible, (Stage, i32)> {
    reset_handlers();
    place_fds(plan)?;
    plan.stage = Stage::CloseStrays;
    close_strays(plan)?;
    plan.stage = Stage::ParentDeath;
    arm_parent_death(plan)?;
    plan.stage = Stage::SetMask;
    // SAFETY: getpid(2) takes and touches nothing.
    let pid = unsafe { libc::getpid() };
    let at = plan.env.len() - 2;
    plan.env[at] = plan.listen_pid.write(pid);
    // SAFETY: the mask is an initialised set; the old one is not asked for.
    let result = unsafe {
        libc::sigprocmask(
            libc::SIG_SETMASK,
            &raw const plan.mask,
            std::ptr::null_mut(),
        )
    };
    check(result, Stage::SetMask)?;
    plan.stage = Stage::Exec;
    Err(execute(plan))
}

/// Exec does so too, but the mask is opened before it, and a handler of the parent's must not run
/// here; 'ignored' would even survive exec. Without the C library, which may lock for it (musl, for
/// SIGABRT) and keeps 32 and 33 to itself.
fn reset_handlers() {
    /// Larger than the kernel's structure on every machine; all zeroes is `SIG_DFL` without flags.
    const DEFAULT: [u64; 8] = [0; 8];
    /// Of the kernel's signal set, in bytes.
    const SET: usize = 8;
    for signal in 1..=64 {
        // SAFETY: the default disposition runs no code. KILL and STOP are refused without harm.
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

/// Sources go above the targets first, so that no target overwrites a source.
fn place_fds(plan: &mut Plan<'_>) -> Step {
    let end = FIRST_FD + plan.placed;
    for source in &mut plan.sources {
        if *source < end {
            // SAFETY: fcntl on a number; it fails where that is not open.
            let moved = unsafe { libc::fcntl(*source, libc::F_DUPFD_CLOEXEC, end) };
            check(moved, Stage::CopyFds)?;
            *source = moved;
        }
    }
    plan.stage = Stage::PlaceFds;
    let listed = &plan.sources[..plan.sources.len() - 2];
    for (target, &source) in (FIRST_FD..).zip(listed) {
        // SAFETY: dup2 on two numbers, which differ; the copy is not close-on-exec.
        check(unsafe { libc::dup2(source, target) }, Stage::PlaceFds)?;
    }
    let stdin = plan.sources[plan.sources.len() - 1];
    // SAFETY: as above.
    check(unsafe { libc::dup2(stdin, 0) }, Stage::PlaceFds)
}

/// The table of descriptors is the child's own copy: closing is not felt by the parent. The image
/// stays open for the exec; it is close-on-exec.
fn close_strays(plan: &Plan<'_>) -> Step {
    let first = (FIRST_FD + plan.placed).cast_unsigned();
    let last = u32::MAX;
    let image = match plan.image {
        Image::Held(_) => plan.sources[plan.sources.len() - 2].cast_unsigned(),
        Image::Path(_) => return close_range(first, last),
    };
    if image > first {
        close_range(first, image - 1)?;
    }
    close_range(image + 1, last)
}

fn close_range(first: u32, last: u32) -> Step {
    // SAFETY: three numbers. The descriptors are this process's copies, and it uses none of them.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    check(if result < 0 { -1 } else { 0 }, Stage::CloseStrays)
}

/// `prctl(2)`: nothing is sent if the parent was gone before, so ask afterwards.
fn arm_parent_death(plan: &Plan<'_>) -> Step {
    let signal = plan.parent_death as libc::c_ulong;
    // SAFETY: prctl with numbers.
    let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) };
    check(result, Stage::ParentDeath)?;
    // SAFETY: getppid(2) takes and touches nothing.
    if unsafe { libc::getppid() } != plan.parent {
        return Err((Stage::Parent, libc::ESRCH));
    }
    Ok(())
}

fn execute(plan: &Plan<'_>) -> (Stage, i32) {
    let (args, env) = (plan.args.as_ptr(), plan.env.as_ptr());
    match plan.image {
        Image::Held(_) => {
            let image = plan.sources[plan.sources.len() - 2];
            // SAFETY: both lists end with null and their strings live in the parent's memory.
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
        Image::Path(path) => {
            // SAFETY: as above.
            unsafe { libc::execve(path.as_ptr(), args, env) };
        }
    }
    (Stage::Exec, errno())
}

fn check(result: c_int, stage: Stage) -> Step {
    if result < 0 {
        return Err((stage, errno()));
    }
    Ok(())
}

fn errno() -> i32 {
    nix::errno::Errno::last_raw()
}

/// `LISTEN_PID=<pid>`, written where the pid is known, without allocating.
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
            // SAFETY: `write` ends the text with a zero, inside the array that still lives.
            assert_eq!(unsafe { CStr::from_ptr(text) }, expected);
        }
    }
}
