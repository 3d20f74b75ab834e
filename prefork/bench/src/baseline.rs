//! The baseline: a minimal hand-written supervisor for this one server on Linux.
//!
//! The baseline starts workers with clone(2) and execve(2), waits until one exits, and starts its
//! replacement. It has no graceful stop, no recovery from errors, no log and no options. A
//! supervisor that does more cannot be expected to be faster.
//!
//! This module calls clone(2) and execve(2) directly and therefore needs `unsafe`.
#![allow(unsafe_code)]

use std::convert::Infallible;
use std::ffi::{CString, c_char, c_int, c_void};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{Id, WaitPidFlag, waitid};

/// Environment variable of a worker. The worker has its listener at [`LISTENER`].
const IS_WORKER: &str = "BASELINE_WORKER";
const LISTENER: RawFd = 3;

/// Supervises workers and never returns without an error.
///
/// # Errors
/// If the address is in use, or if a system call fails.
pub fn supervise(addr: &str, workers: usize) -> io::Result<Infallible> {
    let listener = TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    let program = Program::new(&listener)?;
    let mut stack = vec![0_u8; 64 * 1024];
    let mut children = (0..workers)
        .map(|_| start(&program, &mut stack))
        .collect::<io::Result<Vec<OwnedFd>>>()?;
    loop {
        for dead in wait(&children)? {
            let id = Id::PIDFd(children[dead].as_fd());
            waitid(id, WaitPidFlag::WEXITED)?;
            children[dead] = start(&program, &mut stack)?;
        }
    }
}

/// In a worker: the inherited listener.
pub fn inherited() -> Option<TcpListener> {
    std::env::var_os(IS_WORKER)?;
    // SAFETY: the supervisor duplicated its listener to this descriptor, and no other code in this
    // process uses the number.
    Some(unsafe { TcpListener::from_raw_fd(LISTENER) })
}

fn wait(children: &[OwnedFd]) -> io::Result<Vec<usize>> {
    let mut polled: Vec<_> = children
        .iter()
        .map(|child| PollFd::new(child.as_fd(), PollFlags::POLLIN))
        .collect();
    poll(&mut polled, PollTimeout::NONE)?;
    let has_exited = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
    Ok((0..polled.len())
        .filter(|&at| has_exited(&polled[at]))
        .collect())
}

/// The data that the child needs between clone and exec, where it must not allocate.
struct Program<'a> {
    path: CString,
    env: Vec<CString>,
    listener: BorrowedFd<'a>,
}

impl<'a> Program<'a> {
    fn new(listener: &'a TcpListener) -> io::Result<Self> {
        let path = CString::new(std::env::current_exe()?.into_os_string().into_vec())?;
        let mut env = vec![CString::new(format!("{IS_WORKER}=1"))?];
        for (name, value) in std::env::vars_os() {
            let text = [name.into_vec(), value.into_vec()].join(&b'=');
            env.push(CString::new(text)?);
        }
        let listener = listener.as_fd();
        Ok(Self {
            path,
            env,
            listener,
        })
    }
}

struct Pointers {
    path: *const c_char,
    args: [*const c_char; 2],
    env: Vec<*const c_char>,
    listener: RawFd,
}

fn start(program: &Program<'_>, stack: &mut [u8]) -> io::Result<OwnedFd> {
    let path = program.path.as_ptr();
    let mut env: Vec<_> = program.env.iter().map(|text| text.as_ptr()).collect();
    env.push(std::ptr::null());
    let mut pointers = Pointers {
        path,
        args: [path, std::ptr::null()],
        env,
        listener: program.listener.as_raw_fd(),
    };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    let mut pidfd: c_int = -1;
    let top = stack.as_mut_ptr_range().end;
    let argument = std::ptr::from_mut(&mut pointers).cast::<c_void>();
    // SAFETY: the child has its own stack, and the kernel suspends this thread while the child uses
    // the memory of this process.
    let pid = unsafe { libc::clone(child, top.cast(), flags, argument, &raw mut pidfd) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just created this descriptor, and no other code uses it.
    Ok(unsafe { OwnedFd::from_raw_fd(pidfd) })
}

extern "C" fn child(pointers: *mut c_void) -> c_int {
    // SAFETY: `start` passed a pointer to its `Pointers`, and is suspended until exec.
    let pointers = unsafe { &*pointers.cast::<Pointers>() };
    let kill = libc::SIGKILL.unsigned_abs();
    // SAFETY: the call takes numbers only.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::c_ulong::from(kill)) };
    if pointers.listener == LISTENER {
        // SAFETY: the call takes numbers only. It clears FD_CLOEXEC.
        unsafe { libc::fcntl(LISTENER, libc::F_SETFD, 0) };
    } else {
        // SAFETY: the call takes numbers only. The child does not need the replaced descriptor.
        unsafe { libc::dup2(pointers.listener, LISTENER) };
    }
    let (args, env) = (pointers.args.as_ptr(), pointers.env.as_ptr());
    // SAFETY: both lists end with null.
    unsafe { libc::execve(pointers.path, args, env) };
    127
}
