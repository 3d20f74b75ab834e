//! Signals as records in a socket, with who sent them; and the plain settings of a process.
//!
//! A handler may do next to nothing (`signal-safety(7)`); ours copies three numbers into a socket
//! that somebody polls.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal};

/// A signal that this process got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    /// Which one.
    pub(crate) signal: Signal,
    /// The process that sent it; `None` when the kernel did (a terminal, for example).
    pub(crate) sender: Option<i32>,
}

/// Signals of this process, as something to poll. Handlers that are already there, or that are set
/// later through the same registry (tokio's, for example), keep being called.
#[derive(Debug)]
pub(crate) struct SignalPipe {
    reader: UnixStream,
    writer: Arc<UnixStream>,
    registered: Mutex<Vec<signal_hook_registry::SigId>>,
}

/// Signal number, sender.
const RECORD: usize = 8;

/// In the place of a sender: the kernel sent it.
const NOBODY: i32 = -1;

impl SignalPipe {
    /// A pipe that receives nothing yet.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Self {
            reader,
            writer: Arc::new(writer),
            registered: Mutex::default(),
        })
    }

    /// Receives these signals from now on, and lets them through where this thread blocks them.
    ///
    /// # Errors
    /// A signal that cannot be caught.
    pub(crate) fn receive(&self, signals: &[Signal]) -> io::Result<()> {
        for &signal in signals {
            let writer = Arc::clone(&self.writer);
            let action = move |info: &libc::siginfo_t| record(&writer, info);
            // SAFETY: the action only copies numbers and calls send(2), which is
            // async-signal-safe; it neither allocates nor locks nor panics.
            let id = unsafe { signal_hook_registry::register_sigaction(signal as i32, action) }?;
            self.registered
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(id);
        }
        let set: SigSet = signals.iter().copied().collect();
        nix::sys::signal::pthread_sigmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None)?;
        Ok(())
    }

    /// The next signal that came, or `None`. Never blocks.
    pub(crate) fn next(&self) -> Option<Received> {
        let mut record = [0; RECORD];
        let read = nix::unistd::read(&self.reader, &mut record).ok()?;
        // Records are written and read whole: a stream socket splits no send this small, and every
        // reader takes the same length.
        if read != RECORD {
            return None;
        }
        let number = |at: usize| {
            i32::from_ne_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
        };
        Some(Received {
            signal: Signal::try_from(number(0)).ok()?,
            sender: Some(number(4)).filter(|&sender| sender != NOBODY),
        })
    }
}

impl AsFd for SignalPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl Drop for SignalPipe {
    fn drop(&mut self) {
        let registered = self
            .registered
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        for id in registered.drain(..) {
            signal_hook_registry::unregister(id);
        }
    }
}

fn record(writer: &UnixStream, info: &libc::siginfo_t) {
    let mut record = [0; RECORD];
    record[0..4].copy_from_slice(&info.si_signo.to_ne_bytes());
    record[4..8].copy_from_slice(&sender(info).to_ne_bytes());
    // SAFETY: the pointer and the length describe a local array. A full socket means that
    // thousands of signals wait unread; one more would say nothing new.
    unsafe {
        libc::send(
            writer.as_raw_fd(),
            record.as_ptr().cast(),
            RECORD,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
}

#[cfg(all(target_os = "linux", not(prefork_portable)))]
fn sender(info: &libc::siginfo_t) -> i32 {
    match info.si_code {
        // SAFETY: for these codes the kernel has filled in the sender (sigaction(2)).
        libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL => unsafe { info.si_pid() },
        _ => NOBODY,
    }
}

/// Only a master asks.
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
fn sender(_info: &libc::siginfo_t) -> i32 {
    NOBODY
}

/// Lets the signals wait until somebody [receives](SignalPipe::receive) them; threads that begin meanwhile do as well.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) fn hold(signals: &[Signal]) -> io::Result<()> {
    let set: SigSet = signals.iter().copied().collect();
    nix::sys::signal::pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
    Ok(())
}

/// Gives the signals a handler that does nothing, where they have none, then lets them through. Not 'ignored': that
/// would be inherited by every program that this process starts.
pub(crate) fn disregard(signals: &[Signal]) -> io::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}

    let action = SigAction::new(
        SigHandler::Handler(nothing),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    for &signal in signals {
        // SAFETY: the handler does nothing, which is always allowed.
        let before = unsafe { nix::sys::signal::sigaction(signal, &action) }?;
        if !matches!(before.handler(), SigHandler::SigDfl | SigHandler::SigIgn) {
            // Somebody of this program wants to hear it.
            // SAFETY: it was there before.
            unsafe { nix::sys::signal::sigaction(signal, &before) }?;
        }
    }
    let set: SigSet = signals.iter().copied().collect();
    nix::sys::signal::pthread_sigmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None)?;
    Ok(())
}

/// Whether this process was started with the signal ignored: `nohup` and shells that start
/// something in the background do that, and mean it.
pub(crate) fn is_ignored(signal: Signal) -> bool {
    // SAFETY: sigaction is plain data, for which all zeroes is a value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: nothing is set, and `action` is a place for what is there.
    let result = unsafe { libc::sigaction(signal as i32, std::ptr::null(), &raw mut action) };
    result == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Gives a signal its default meaning. For SIGCHLD inherited as ignored: children would be reaped
/// by the kernel and their status lost (`waitpid(2)`, notes).
pub(crate) fn reset(signal: Signal) -> io::Result<()> {
    let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default disposition runs no code of ours.
    unsafe { nix::sys::signal::sigaction(signal, &action) }?;
    Ok(())
}
