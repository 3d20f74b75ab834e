//! The signals that arrive at this process, and its signal settings.
//!
//! For each signal, it counts the arrivals and records the times and the sender.
//!
//! A signal handler may call only a few functions (`signal-safety(7)`). The handler here updates a
//! few atomics and wakes a [`Waker`] that a thread polls. It queues nothing, so nothing can
//! overflow: a queue full of SIGUSR1 would lose a later SIGTERM. Equal signals between two reads
//! are one record with a count.

use std::io;
use std::iter;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal};

use super::clock::monotonic_nanos;
use super::waker::Waker;

/// Equal signals that this process received between two reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReceivedSignal {
    pub(crate) signal: Signal,
    /// The process that sent the last of them; `None` for the kernel (a terminal).
    pub(crate) sender: Option<i32>,
    /// How often a handler ran.
    ///
    /// The kernel merges equal signals that are pending at the same time (`signal(7)`, "Queueing
    /// and delivery semantics for standard signals").
    pub(crate) count: u64,
    /// When the first of them arrived.
    pub(crate) first: Instant,
    /// When the last of them arrived.
    pub(crate) last: Instant,
}

/// Pollable signals of this process.
///
/// Existing handlers, and handlers that are set later through the same registry (tokio's, for
/// example), are still called.
#[derive(Debug)]
pub(crate) struct SignalReceiver {
    tallies: Arc<SignalCounters>,
    registered: Mutex<Vec<signal_hook_registry::SigId>>,
}

impl SignalReceiver {
    /// Creates a pipe that receives no signals yet.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            tallies: Arc::new(SignalCounters::new()?),
            registered: Mutex::default(),
        })
    }

    /// Starts to receive these signals, and unblocks them in this thread.
    ///
    /// # Errors
    /// A signal that cannot be caught.
    pub(crate) fn receive(&self, signals: &[Signal]) -> io::Result<()> {
        for &signal in signals {
            let tallies = Arc::clone(&self.tallies);
            let action = move |info: &libc::siginfo_t| {
                tallies.add(info.si_signo, sender(info), monotonic_nanos());
            };
            // SAFETY: the action updates atomics and calls clock_gettime(2) and write(2), which are
            // async-signal-safe; it neither allocates nor locks nor panics. The registry keeps
            // errno.
            let id = unsafe { signal_hook_registry::register_sigaction(signal as i32, action) }?;
            self.registered
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(id);
        }
        change_mask(SigmaskHow::SIG_UNBLOCK, &signals.iter().copied().collect())?;
        Ok(())
    }

    /// Reads the signals since the last read, in the order of their first arrivals.
    ///
    /// Never blocks.
    ///
    /// Yields each signal at most once, so that a flood of signals cannot block the caller. Signals
    /// that arrive during the read make the pipe readable again.
    pub(crate) fn received(&self) -> impl Iterator<Item = ReceivedSignal> + '_ {
        // First: a signal after this makes the pipe readable again, and is read now or in the next
        // read.
        self.tallies.waker.clear();
        let mut seen = [false; COUNTERS];
        iter::from_fn(move || self.tallies.take_oldest(&mut seen))
    }

    /// Takes the record of one of these signals, if one arrived. Leaves the others unread.
    ///
    /// The descriptor does not become readable again for the others.
    pub(crate) fn take(&self, signals: &[Signal]) -> Option<ReceivedSignal> {
        self.tallies.waker.clear();
        let mut seen = [true; COUNTERS];
        for &signal in signals {
            let index = usize::try_from(signal as i32).ok();
            if let Some(seen) = index.and_then(|index| seen.get_mut(index)) {
                *seen = false;
            }
        }
        self.tallies.take_oldest(&mut seen)
    }

    /// Whether one of these arrived since the last look. It is reported all the same.
    #[cfg(all(target_os = "linux", not(prefork_portable)))]
    pub(crate) fn has_any(&self, signals: &[Signal]) -> bool {
        let tallies = signals.iter().filter_map(|&signal| {
            let index = usize::try_from(signal as i32).ok()?;
            self.tallies.of.get(index)
        });
        tallies
            .into_iter()
            .any(|tally| tally.waits_since().is_some())
    }
}

impl AsFd for SignalReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tallies.waker.as_fd()
    }
}

impl Drop for SignalReceiver {
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

/// The length of the array of counters.
///
/// Standard signals have the numbers 1 to 31, and each is an index.
const COUNTERS: usize = 32;

/// The sender of signals from the kernel.
const KERNEL: i32 = -1;

/// The counters that handlers update and a thread reads.
#[derive(Debug)]
struct SignalCounters {
    /// The same time on both clocks. A handler reads the second clock.
    began: (Instant, u64),
    waker: Waker,
    of: [SignalCounter; COUNTERS],
}

/// The counter of one signal.
///
/// Handlers run on any thread, also during a read. In any order of their steps, the counts are
/// correct in the end, and each time is the arrival of a signal.
#[derive(Debug)]
struct SignalCounter {
    /// Written last and read first.
    count: AtomicU64,
    /// The arrival of the oldest signal that was not read, or [`NONE`](Self::NONE).
    first: AtomicU64,
    /// The latest arrival; never reset.
    last: AtomicU64,
    sender: AtomicI32,
}

impl SignalCounters {
    fn new() -> io::Result<Self> {
        Ok(Self {
            began: (Instant::now(), monotonic_nanos()),
            waker: Waker::new()?,
            of: [const { SignalCounter::new() }; COUNTERS],
        })
    }

    /// Counts a signal. Called in a handler.
    fn add(&self, signal: i32, sender: i32, now: u64) {
        let index = usize::try_from(signal).ok();
        if let Some(tally) = index.and_then(|index| self.of.get(index)) {
            tally.add(sender, now);
            self.waker.wake();
        }
    }

    /// Takes the record of the oldest signal that this read has not seen.
    fn take_oldest(&self, seen: &mut [bool; COUNTERS]) -> Option<ReceivedSignal> {
        let unseen = (0..COUNTERS).filter(|&index| !seen[index]);
        let waiting = unseen.filter_map(|index| Some((self.of[index].waits_since()?, index)));
        let (_, index) = waiting.min()?;
        seen[index] = true;
        let (count, first, last, sender) = self.of[index].take();
        Some(ReceivedSignal {
            signal: Signal::try_from(i32::try_from(index).ok()?).ok()?,
            sender: (sender != KERNEL).then_some(sender),
            count,
            first: self.instant(first),
            last: self.instant(last),
        })
    }

    fn instant(&self, nanos: u64) -> Instant {
        let (instant, began) = self.began;
        instant + Duration::from_nanos(nanos.saturating_sub(began))
    }
}

impl SignalCounter {
    const NONE: u64 = u64::MAX;

    const fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            first: AtomicU64::new(Self::NONE),
            last: AtomicU64::new(0),
            sender: AtomicI32::new(KERNEL),
        }
    }

    fn add(&self, sender: i32, now: u64) {
        self.first.fetch_min(now, Ordering::Relaxed);
        self.last.fetch_max(now, Ordering::Relaxed);
        self.sender.store(sender, Ordering::Relaxed);
        // Publishes the three stores above.
        self.count.fetch_add(1, Ordering::Release);
    }

    fn waits_since(&self) -> Option<u64> {
        let waits = self.count.load(Ordering::Acquire) > 0;
        waits.then(|| self.first_or_last(self.first.load(Ordering::Relaxed)))
    }

    /// Takes count, first arrival, last arrival and sender.
    ///
    /// Only for a signal that waits.
    fn take(&self) -> (u64, u64, u64, i32) {
        let count = self.count.swap(0, Ordering::Acquire);
        let first = self.first.swap(Self::NONE, Ordering::Relaxed);
        let last = self.last.load(Ordering::Relaxed);
        let sender = self.sender.load(Ordering::Relaxed);
        (count, self.first_or_last(first), last, sender)
    }

    /// The first arrival; the last one if there is no first.
    ///
    /// A read between the steps of a handler has taken the first arrival then. It has reported the
    /// arrival as the last one of its record.
    fn first_or_last(&self, first: u64) -> u64 {
        if first == Self::NONE {
            self.last.load(Ordering::Relaxed)
        } else {
            first
        }
    }
}

#[cfg(all(target_os = "linux", not(prefork_portable)))]
fn sender(info: &libc::siginfo_t) -> i32 {
    match info.si_code {
        // SAFETY: for these codes the kernel has filled in the sender (sigaction(2)).
        libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL => unsafe { info.si_pid() },
        _ => KERNEL,
    }
}

/// Only a master needs the sender.
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
fn sender(_info: &libc::siginfo_t) -> i32 {
    KERNEL
}

/// Changes the signal mask of this thread and returns the previous mask.
///
/// The function of nix expects -1 for an error, but `pthread_sigmask(3)` returns the error itself.
///
/// # Errors
/// A seccomp filter rejects the call.
pub(super) fn change_mask(how: SigmaskHow, set: &SigSet) -> io::Result<SigSet> {
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is initialized, and `before` has the size of a set.
    let error = unsafe { libc::pthread_sigmask(how as i32, set.as_ref(), before.as_mut_ptr()) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    // SAFETY: the call has succeeded, and has filled the set.
    let before = unsafe { before.assume_init() };
    // SAFETY: the set is from the C library.
    Ok(unsafe { SigSet::from_sigset_t_unchecked(before) })
}

/// Blocks the signals in this thread and in threads that it starts later.
///
/// They wait until [`SignalReceiver::receive`] unblocks them.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) fn block(signals: &[Signal]) -> io::Result<()> {
    change_mask(SigmaskHow::SIG_BLOCK, &signals.iter().copied().collect())?;
    Ok(())
}

/// Sets a no-op handler for signals without a handler, and unblocks the signals.
///
/// They are not ignored (`SIG_IGN`), because programs that this process starts would inherit that.
pub(crate) fn catch_with_noop(signals: &[Signal]) -> io::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}

    let action = SigAction::new(
        SigHandler::Handler(nothing),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    for &signal in signals {
        // SAFETY: a handler that does nothing is async-signal-safe.
        let before = unsafe { nix::sys::signal::sigaction(signal, &action) }?;
        if !matches!(before.handler(), SigHandler::SigDfl | SigHandler::SigIgn) {
            // The program has its own handler.
            // SAFETY: this is the previous action.
            unsafe { nix::sys::signal::sigaction(signal, &before) }?;
        }
    }
    change_mask(SigmaskHow::SIG_UNBLOCK, &signals.iter().copied().collect())?;
    Ok(())
}

/// Whether this process was started with the signal ignored.
///
/// `nohup`, and shells that start a process in the background, set that on purpose.
pub(crate) fn is_ignored(signal: Signal) -> bool {
    // SAFETY: sigaction is plain data, for which all zeroes are a valid value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: the call sets nothing, and writes the current action to `action`.
    let result = unsafe { libc::sigaction(signal as i32, std::ptr::null(), &raw mut action) };
    result == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Resets a signal to its default action.
///
/// For an inherited SIGCHLD that is ignored: the kernel would reap children, and their status would
/// be lost (`waitpid(2)`, notes).
pub(crate) fn reset_to_default(signal: Signal) -> io::Result<()> {
    let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default action runs no code of this process.
    unsafe { nix::sys::signal::sigaction(signal, &action) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fds::readable;
    use std::os::fd::AsRawFd;

    const PID: i32 = 7;

    /// A pipe that receives no real signals.
    fn pipe() -> SignalReceiver {
        SignalReceiver::new().expect("descriptors")
    }

    fn add(pipe: &SignalReceiver, signal: Signal, sender: i32, after: u64) {
        let (_, began) = pipe.tallies.began;
        pipe.tallies.add(signal as i32, sender, began + after);
    }

    fn counts(pipe: &SignalReceiver) -> Vec<(Signal, u64)> {
        let received = pipe.received();
        received.map(|one| (one.signal, one.count)).collect()
    }

    #[test]
    fn a_signal_after_many_other_signals_is_not_lost() {
        let pipe = pipe();
        for after in 0..1_000_000 {
            add(&pipe, Signal::SIGUSR1, PID, after);
        }
        add(&pipe, Signal::SIGTERM, PID, 1_000_000);
        let expected = [(Signal::SIGUSR1, 1_000_000), (Signal::SIGTERM, 1)];
        assert_eq!(counts(&pipe), expected);
        assert_eq!(counts(&pipe), []);
    }

    #[test]
    fn equal_signals_are_one_record_with_their_first_and_last_arrival() {
        let pipe = pipe();
        let (began, _) = pipe.tallies.began;
        for (sender, after) in [(PID, 10), (PID, 20), (8, 30)] {
            add(&pipe, Signal::SIGINT, sender, after);
        }
        let expected = ReceivedSignal {
            signal: Signal::SIGINT,
            sender: Some(8),
            count: 3,
            first: began + Duration::from_nanos(10),
            last: began + Duration::from_nanos(30),
        };
        assert_eq!(pipe.received().collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn records_come_in_the_order_of_arrival() {
        let order = |signals: &[Signal]| {
            let pipe = pipe();
            for (after, &signal) in (0..).zip(signals) {
                add(&pipe, signal, PID, after);
            }
            counts(&pipe)
        };
        let (int, term) = (Signal::SIGINT, Signal::SIGTERM);
        assert_eq!(order(&[term, int, int]), [(term, 1), (int, 2)]);
        assert_eq!(order(&[int, term, int]), [(int, 2), (term, 1)]);
    }

    #[test]
    fn a_signal_of_the_kernel_has_no_sender() {
        let pipe = pipe();
        add(&pipe, Signal::SIGINT, KERNEL, 0);
        assert_eq!(pipe.received().next().map(|one| one.sender), Some(None));
        // Zero is a process in another PID namespace.
        add(&pipe, Signal::SIGINT, 0, 0);
        assert_eq!(pipe.received().next().map(|one| one.sender), Some(Some(0)));
    }

    #[test]
    fn a_flood_does_not_block_a_read_and_makes_the_pipe_readable_again() {
        let pipe = pipe();
        let is_readable = || readable(&[pipe.as_fd().as_raw_fd()]) == 1;
        assert!(!is_readable());
        add(&pipe, Signal::SIGUSR1, PID, 0);
        assert!(is_readable());
        // Each time that a signal is read, another one arrives.
        let taken = pipe
            .received()
            .inspect(|_| add(&pipe, Signal::SIGUSR1, PID, 1));
        assert_eq!(taken.count(), 1);
        assert!(is_readable());
        assert_eq!(counts(&pipe), [(Signal::SIGUSR1, 1)]);
        assert!(!is_readable());
    }

    #[test]
    fn a_read_between_the_steps_of_a_handler_has_real_arrival_times() {
        let tally = SignalCounter::new();
        tally.add(PID, 10);
        // A handler has stored its times, but not its count.
        tally.first.fetch_min(20, Ordering::Relaxed);
        tally.last.fetch_max(20, Ordering::Relaxed);
        assert_eq!(tally.take(), (1, 10, 20, PID));
        tally.count.fetch_add(1, Ordering::Release);
        assert_eq!(tally.waits_since(), Some(20));
        assert_eq!(tally.take(), (1, 20, 20, PID));
        assert_eq!(tally.waits_since(), None);
    }

    #[test]
    fn no_signal_is_lost_if_threads_add_during_a_read() {
        const EACH: u64 = 50_000;
        let pipe = pipe();
        let mut taken = 0;
        std::thread::scope(|scope| {
            let adders = [(); 2].map(|()| {
                scope.spawn(|| (0..EACH).for_each(|now| add(&pipe, Signal::SIGHUP, PID, now)))
            });
            while !adders
                .iter()
                .all(std::thread::ScopedJoinHandle::is_finished)
            {
                taken += pipe.received().map(|one| one.count).sum::<u64>();
            }
        });
        taken += pipe.received().map(|one| one.count).sum::<u64>();
        assert_eq!(taken, 2 * EACH);
    }
}
