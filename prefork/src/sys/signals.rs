//! Signals of this process: how often each arrived, when, and who sent it; and the plain settings of
//! a process.
//!
//! A handler may do next to nothing (`signal-safety(7)`). Ours updates a few atomics and rings a
//! [`Bell`] that a thread polls. Nothing is queued, so that nothing overflows: a queue of records
//! that is full of SIGUSR1 would lose the SIGTERM behind them. Equal signals that arrive between
//! two looks are one record with a count.

use std::io;
use std::iter;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal};

use super::bell::Bell;
use super::clock::monotonic_nanos;

/// Equal signals that this process got between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) signal: Signal,
    /// The process that sent the last of them; `None` if the kernel did (a terminal, for example).
    pub(crate) sender: Option<i32>,
    /// How many handlers ran; the kernel merges equal signals that are pending at the same time
    /// (`signal(7)`, "Queueing and delivery semantics for standard signals").
    pub(crate) count: u64,
    /// When the first of them arrived.
    pub(crate) first: Instant,
    /// When the last of them arrived.
    pub(crate) last: Instant,
}

/// Signals of this process, as something to poll. Handlers that are already there, or that are set
/// later through the same registry (tokio's, for example), keep being called.
#[derive(Debug)]
pub(crate) struct SignalPipe {
    tallies: Arc<Tallies>,
    registered: Mutex<Vec<signal_hook_registry::SigId>>,
}

impl SignalPipe {
    /// A pipe that receives nothing yet.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            tallies: Arc::new(Tallies::new()?),
            registered: Mutex::default(),
        })
    }

    /// Receives these signals from now on, and lets them through where this thread blocks them.
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
            // async-signal-safe; it neither allocates nor locks nor panics. The registry keeps errno.
            let id = unsafe { signal_hook_registry::register_sigaction(signal as i32, action) }?;
            self.registered
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(id);
        }
        change_mask(SigmaskHow::SIG_UNBLOCK, &signals.iter().copied().collect())?;
        Ok(())
    }

    /// What arrived since the last look, in the order in which the first of each arrived. Never
    /// blocks.
    ///
    /// Yields each signal at most once, so that a flood does not hold up the caller: what arrives
    /// meanwhile rings again.
    pub(crate) fn received(&self) -> impl Iterator<Item = Received> + '_ {
        // First: what arrives after this rings again, and is read now or at the next look.
        self.tallies.bell.silence();
        let mut seen = [false; TALLIES];
        iter::from_fn(move || self.tallies.take_oldest(&mut seen))
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

impl AsFd for SignalPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tallies.bell.as_fd()
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

/// Standard signals have the numbers 1 to 31, and each has its place at its number.
const TALLIES: usize = 32;

/// In the place of a sender: the kernel sent it.
const KERNEL: i32 = -1;

/// What handlers write and a thread reads.
#[derive(Debug)]
struct Tallies {
    /// The same moment by both clocks: a handler reads the second one.
    began: (Instant, u64),
    bell: Bell,
    of: [Tally; TALLIES],
}

/// One signal's. Handlers run on any thread, also while a reader takes; each order of their steps
/// leaves a count that is right in the end, and times at which a signal arrived.
#[derive(Debug)]
struct Tally {
    /// Written last and read first.
    count: AtomicU64,
    /// The arrival of the oldest that was not taken, or [`NONE`](Self::NONE).
    first: AtomicU64,
    /// The latest arrival of all; never reset.
    last: AtomicU64,
    sender: AtomicI32,
}

impl Tallies {
    fn new() -> io::Result<Self> {
        Ok(Self {
            began: (Instant::now(), monotonic_nanos()),
            bell: Bell::new()?,
            of: [const { Tally::new() }; TALLIES],
        })
    }

    /// Called in a handler.
    fn add(&self, signal: i32, sender: i32, now: u64) {
        let index = usize::try_from(signal).ok();
        if let Some(tally) = index.and_then(|index| self.of.get(index)) {
            tally.add(sender, now);
            self.bell.ring();
        }
    }

    /// The oldest of those that this look has not seen.
    fn take_oldest(&self, seen: &mut [bool; TALLIES]) -> Option<Received> {
        let unseen = (0..TALLIES).filter(|&index| !seen[index]);
        let waiting = unseen.filter_map(|index| Some((self.of[index].waits_since()?, index)));
        let (_, index) = waiting.min()?;
        seen[index] = true;
        let (count, first, last, sender) = self.of[index].take();
        Some(Received {
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

impl Tally {
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
        // Publishes the three above.
        self.count.fetch_add(1, Ordering::Release);
    }

    fn waits_since(&self) -> Option<u64> {
        let waits = self.count.load(Ordering::Acquire) > 0;
        waits.then(|| self.first_or_last(self.first.load(Ordering::Relaxed)))
    }

    /// Count, first and last arrival, sender. Only for one that waits.
    fn take(&self) -> (u64, u64, u64, i32) {
        let count = self.count.swap(0, Ordering::Acquire);
        let first = self.first.swap(Self::NONE, Ordering::Relaxed);
        let last = self.last.load(Ordering::Relaxed);
        let sender = self.sender.load(Ordering::Relaxed);
        (count, self.first_or_last(first), last, sender)
    }

    /// A look that came between the steps of a handler has taken the first arrival, and reported it
    /// as the last one of its record.
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

/// Only a master asks.
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
fn sender(_info: &libc::siginfo_t) -> i32 {
    KERNEL
}

/// Changes this thread's mask and returns the one before. nix has it as well, but looks for -1,
/// which `pthread_sigmask(3)` never returns: it returns the error itself.
///
/// # Errors
/// A filter that refuses the call.
pub(super) fn change_mask(how: SigmaskHow, set: &SigSet) -> io::Result<SigSet> {
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is initialised, and `before` has room for one.
    let error = unsafe { libc::pthread_sigmask(how as i32, set.as_ref(), before.as_mut_ptr()) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    // SAFETY: the call has succeeded, and has filled it.
    let before = unsafe { before.assume_init() };
    // SAFETY: it comes from the C library.
    Ok(unsafe { SigSet::from_sigset_t_unchecked(before) })
}

/// Lets the signals wait until somebody [receives](SignalPipe::receive) them; threads that begin meanwhile do as well.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) fn hold(signals: &[Signal]) -> io::Result<()> {
    change_mask(SigmaskHow::SIG_BLOCK, &signals.iter().copied().collect())?;
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
    change_mask(SigmaskHow::SIG_UNBLOCK, &signals.iter().copied().collect())?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fds::readable;
    use std::os::fd::AsRawFd;

    const PID: i32 = 7;

    /// One that no real signal reaches.
    fn pipe() -> SignalPipe {
        SignalPipe::new().expect("descriptors")
    }

    fn add(pipe: &SignalPipe, signal: Signal, sender: i32, after: u64) {
        let (_, began) = pipe.tallies.began;
        pipe.tallies.add(signal as i32, sender, began + after);
    }

    fn counts(pipe: &SignalPipe) -> Vec<(Signal, u64)> {
        let received = pipe.received();
        received.map(|one| (one.signal, one.count)).collect()
    }

    #[test]
    fn nothing_is_lost_behind_any_number_of_other_signals() {
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
        let expected = Received {
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
    fn the_kernel_is_no_sender() {
        let pipe = pipe();
        add(&pipe, Signal::SIGINT, KERNEL, 0);
        assert_eq!(pipe.received().next().map(|one| one.sender), Some(None));
        // Zero is a process of another PID namespace.
        add(&pipe, Signal::SIGINT, 0, 0);
        assert_eq!(pipe.received().next().map(|one| one.sender), Some(Some(0)));
    }

    #[test]
    fn a_flood_does_not_hold_up_a_look_and_rings_again() {
        let pipe = pipe();
        let rings = || readable(&[pipe.as_fd().as_raw_fd()]) == 1;
        assert!(!rings());
        add(&pipe, Signal::SIGUSR1, PID, 0);
        assert!(rings());
        // As often as one is taken another one arrives.
        let taken = pipe
            .received()
            .inspect(|_| add(&pipe, Signal::SIGUSR1, PID, 1));
        assert_eq!(taken.count(), 1);
        assert!(rings());
        assert_eq!(counts(&pipe), [(Signal::SIGUSR1, 1)]);
        assert!(!rings());
    }

    #[test]
    fn a_look_between_the_steps_of_a_handler_makes_up_no_time() {
        let tally = Tally::new();
        tally.add(PID, 10);
        // A handler has noted its times, and not yet its count.
        tally.first.fetch_min(20, Ordering::Relaxed);
        tally.last.fetch_max(20, Ordering::Relaxed);
        assert_eq!(tally.take(), (1, 10, 20, PID));
        tally.count.fetch_add(1, Ordering::Release);
        assert_eq!(tally.waits_since(), Some(20));
        assert_eq!(tally.take(), (1, 20, 20, PID));
        assert_eq!(tally.waits_since(), None);
    }

    #[test]
    fn threads_that_add_while_another_one_takes_lose_nothing() {
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
