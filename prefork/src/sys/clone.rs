//! Starting a program: one `clone(2)` and one `execveat(2)`, and in between a handful of system
//! calls that put everything where the program expects it.
//!
//! **The reasoning.** The child shares the master's memory and the master is suspended until the
//! child has executed or ended (`CLONE_VM | CLONE_VFORK`, what `vfork(2)` does), so that the cost
//! does not grow with the master's memory: `fork` copies page tables, 35 ms for a master of 1 GiB.
//! `posix_spawn(3)` does the same, but it can give neither a descriptor of the process without a
//! race, nor `LISTEN_PID` (nobody knows it earlier than the child), nor close strays, and its
//! `dup2` actions overwrite sources that lie on targets.
//!
//! **The price.** Between clone and exec the child runs on the master's memory beside its other
//! threads. It may call the kernel and nothing else: no allocation, no lock, no panic. Everything
//! that it needs is made before; it runs with all signals blocked until its handlers are reset, on
//! a stack of its own; its errors come back through the shared memory.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};

use super::pidfd::Pidfd;

/// The first descriptor that a child inherits: those below are stdin, stdout and stderr.
pub(crate) const FIRST_FD: RawFd = 3;

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
    pub(crate) parent_death: Option<Signal>,
}

/// Where a start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    /// The process could not be made.
    Clone,
    /// A descriptor could not be moved to its place.
    PlaceFds,
    /// What is not meant for the child could not be closed.
    CloseStrays,
    /// The parent-death signal or the signal mask could not be set, or the parent is gone.
    Prepare,
    /// The program could not be executed.
    Exec,
}

impl Stage {
    /// The system call, for messages.
    pub(crate) fn call(self) -> &'static str {
        match self {
            Self::Clone => "clone",
            Self::PlaceFds => "dup2",
            Self::CloseStrays => "close_range",
            Self::Prepare => "prctl",
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

/// A stack for the moment between clone and exec, made once: starts are one after another, and
/// each returns when its child has left the stack.
#[derive(Debug)]
pub(crate) struct Stack {
    base: NonNull<c_void>,
}

// SAFETY: the mapping belongs to this value alone; nothing in it is tied to a thread.
unsafe impl Send for Stack {}

impl Stack {
    const SIZE: usize = 64 * 1024;
    const GUARD: usize = 64 * 1024;

    /// Maps the stack, with inaccessible pages below it.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: a new mapping at a place that the kernel chooses touches nothing that exists.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                Self::GUARD + Self::SIZE,
                libc::PROT_NONE,
                flags,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base).ok_or(io::ErrorKind::OutOfMemory)?;
        let stack = Self { base };
        // SAFETY: the offset lies inside the mapping made above.
        let usable = unsafe { base.as_ptr().byte_add(Self::GUARD) };
        // SAFETY: the range lies inside the mapping made above, which nobody else uses.
        let result =
            unsafe { libc::mprotect(usable, Self::SIZE, libc::PROT_READ | libc::PROT_WRITE) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(stack)
    }

    /// Stacks grow down on every machine that Linux and Rust's standard library share.
    fn top(&self) -> *mut c_void {
        // SAFETY: one past the end of the mapping; 16-byte aligned since both sizes are.
        unsafe { self.base.as_ptr().byte_add(Self::GUARD + Self::SIZE) }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` and no child is on it: `spawn` holds a borrow
        // until its child has left.
        unsafe { libc::munmap(self.base.as_ptr(), Self::GUARD + Self::SIZE) };
    }
}

/// Starts the program and returns when it has been executed.
///
/// # Errors
/// With the stage that failed; then nothing is left of the child.
pub(crate) fn spawn(stack: &mut Stack, exec: &Exec<'_>) -> Result<Spawned, Failure> {
    let fail = |stage| move |source| Failure { stage, source };
    let mut plan = Plan::new(exec);
    let mut before = SigSet::empty();
    // Until the child has reset its handlers, none may run in it: they would act on our memory.
    pthread_sigmask(
        SigmaskHow::SIG_BLOCK,
        Some(&SigSet::all()),
        Some(&mut before),
    )
    .map_err(|errno| fail(Stage::Clone)(errno.into()))?;
    let cloned = clone(stack, &mut plan);
    let restored = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    let (pid, pidfd) = cloned.map_err(fail(Stage::Clone))?;
    debug_assert!(restored.is_ok(), "a mask that was read can be set");
    match plan.failure {
        None => Ok(Spawned { pid, pidfd }),
        Some((stage, errno)) => {
            // It has ended already; this only reaps it.
            let _ = pidfd.wait();
            Err(fail(stage)(io::Error::from_raw_os_error(errno)))
        }
    }
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

/// What the child reads and writes; all memory of it is allocated before the clone.
struct Plan<'a> {
    image: Image<'a>,
    args: Vec<*const c_char>,
    env: Vec<*const c_char>,
    listen_pid: ListenPid,
    /// Sources of 3, 4, …, then the image, then stdin: moved when they lie in the way.
    sources: Vec<RawFd>,
    placed: RawFd,
    last_signal: c_int,
    mask: libc::sigset_t,
    parent_death: Option<Signal>,
    parent: i32,
    failure: Option<(Stage, i32)>,
}

impl<'a> Plan<'a> {
    fn new(exec: &'a Exec<'_>) -> Self {
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
            last_signal: libc::SIGRTMAX(),
            mask: *exec.blocked.iter().copied().collect::<SigSet>().as_ref(),
            parent_death: exec.parent_death,
            parent: nix::unistd::getpid().as_raw(),
            failure: None,
        }
    }
}

/// The child's whole life before its program.
extern "C" fn child(plan: *mut c_void) -> c_int {
    // SAFETY: `clone` passed a plan, which nobody else touches while the parent is suspended.
    let plan = unsafe { &mut *plan.cast::<Plan<'_>>() };
    let Err(failure) = become_program(plan);
    plan.failure = Some(failure);
    127
}

type Step = Result<(), (Stage, i32)>;

fn become_program(plan: &mut Plan<'_>) -> Result<std::convert::Infallible, (Stage, i32)> {
    reset_handlers(plan);
    place_fds(plan)?;
    close_strays(plan)?;
    arm_parent_death(plan)?;
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
    check(result, Stage::Prepare)?;
    Err(execute(plan))
}

/// Exec does so too, but the mask is opened before it, and a handler of the parent's must not run
/// here; 'ignored' would even survive exec.
fn reset_handlers(plan: &Plan<'_>) {
    for signal in 1..=plan.last_signal {
        // SAFETY: sigaction is plain data, for which all zeroes is a value: SIG_DFL.
        let default: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: the default disposition runs no code. Numbers that cannot be set (KILL, STOP,
        // the C library's own) are refused without harm.
        unsafe { libc::sigaction(signal, &raw const default, std::ptr::null_mut()) };
    }
}

/// Sources go above the targets first, so that no target overwrites a source.
fn place_fds(plan: &mut Plan<'_>) -> Step {
    let end = FIRST_FD + plan.placed;
    for source in &mut plan.sources {
        if *source < end {
            // SAFETY: fcntl on a number; it fails where that is not open.
            let moved = unsafe { libc::fcntl(*source, libc::F_DUPFD_CLOEXEC, end) };
            check(moved, Stage::PlaceFds)?;
            *source = moved;
        }
    }
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
    let Some(signal) = plan.parent_death else {
        return Ok(());
    };
    // SAFETY: prctl with numbers.
    let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong) };
    check(result, Stage::Prepare)?;
    // SAFETY: getppid(2) takes and touches nothing.
    if unsafe { libc::getppid() } != plan.parent {
        return Err((Stage::Prepare, libc::ESRCH));
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
