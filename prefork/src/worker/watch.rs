//! The thread beside the body: hears the master, its death, and SIGTERM; says when the body may
//! close; ends the process when its time is over, even when the body hangs.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::context::{Context, OnShortage};
use super::drain::{Drain, Verdict};
use super::shortages::{ShortageLine, Shortages};
use crate::channel::{Channel, FromChild, FromMaster, MainEnd, Queue, Received};
use crate::error::{Shortage, ShortageStage};
use crate::escalation::{Escalation, StopSignal};
use crate::hook::LastHook;
use crate::net::{self, Census};
use crate::sys::bell::Bell;
use crate::sys::peer::Peer;
use crate::sys::{process, stderr, thread};

/// What the thread is given.
pub(super) struct Watch {
    pub(super) context: Arc<Context>,
    pub(super) master: Master,
    pub(super) master_process: Option<Arc<Peer>>,
    /// Every worker can see by now that its process is dead.
    pub(super) is_master_gone: bool,
    pub(super) grace: Duration,
    /// Rings when listeners or streams changed during a drain.
    pub(super) bell: Arc<Bell>,
    /// The body is to be told of the master's death by a signal.
    pub(super) is_death_untold: bool,
    pub(super) on_master_death: Option<LastHook>,
    /// Logs shortages in single mode.
    pub(super) on_shortage: Option<OnShortage>,
    pub(super) shortages: Shortages,
    /// A listener cannot accept any more, and the drain for it has begun.
    pub(super) is_failure_handled: bool,
    pub(super) process: Process,
    /// Which of the stop signals ends the process at once.
    pub(super) escalation: Escalation,
}

/// Whose the process is that the body runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    /// The worker's: it ends when its time is over.
    Own,
    /// A test's, which plays the master: nothing is done to it.
    Guest,
}

/// Who is at the other end.
pub(super) enum Master {
    /// Single mode.
    None,
    Alive(Arc<Channel>),
    Dead,
}

/// The master's process, where it can be held. Its end is known by this, whoever holds its end of the channel.
pub(super) fn process_of(channel: &Channel) -> Option<Peer> {
    Peer::of(channel.as_fd()).unwrap_or_else(|_dead| {
        channel.hang_up();
        None
    })
}

/// A master's channels end this much before its process does, in milliseconds. If the process goes on, it was a master on a
/// thread.
const MOMENT: u8 = 100;

/// The status of a process whose body did not end in time and that no master is there to kill;
/// what `timeout(1)` uses.
const TIMED_OUT: i32 = 124;

/// The status of a worker whose listener cannot accept any more and whose body did not end in time; that of
/// `Error::Accept`.
const FAILED: i32 = 71;

/// The status after a second Ctrl-C in single mode, as a shell would show it.
const INTERRUPTED: i32 = 130;

/// How far the drain has come.
enum Phase {
    Serving,
    Draining(Drain),
    Resolved(Drain),
}

impl Watch {
    /// # Errors
    /// The limit of threads.
    pub(super) fn start(self) -> io::Result<()> {
        // It calls nothing deep, but the C library takes room for thread locals out of it.
        const STACK: usize = 256 * 1024;
        thread::start(c"prefork-watch", STACK, move || self.run())
    }

    fn run(mut self) {
        let mut phase = Phase::Serving;
        let mut is_closed_said = false;
        loop {
            let now = Instant::now();
            if let Some(deadline) = self.own_deadline(&phase)
                && now >= deadline
            {
                self.end_now();
            }
            self.hear_failure(&mut phase);
            let soonest = [
                self.proceed(&mut phase, &mut is_closed_said, now),
                self.end_silent_reads(&phase, now),
                self.log_shortages(now),
            ];
            let ask_again = soonest.into_iter().flatten().min();
            if self.is_over(&phase) {
                return;
            }
            let next = match (ask_again, self.own_deadline(&phase)) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
            self.wait(next);
            self.hear(&mut phase);
        }
    }

    /// In a process of its own it watches to the end; as a guest until nobody can tell it anything.
    fn is_over(&self, phase: &Phase) -> bool {
        match (self.process, &self.master, phase) {
            (Process::Guest, Master::Dead, Phase::Resolved(_)) => true,
            (Process::Guest, Master::None | Master::Alive(_) | Master::Dead, _)
            | (Process::Own, _, _) => false,
        }
    }

    /// A living master kills by itself, and says so in its log.
    fn own_deadline(&self, phase: &Phase) -> Option<Instant> {
        match (&self.master, phase) {
            (_, Phase::Serving) => None,
            _ if self.process == Process::Guest => None,
            (Master::Alive(_), Phase::Draining(drain) | Phase::Resolved(drain)) => {
                Some(drain.deadline + Self::MASTERS_TURN)
            }
            (Master::None | Master::Dead, Phase::Draining(drain) | Phase::Resolved(drain)) => {
                Some(drain.deadline)
            }
        }
    }

    /// How much later than a living master this thread acts: for a worker that was sent SIGTERM by
    /// somebody else, of which the master knows nothing.
    const MASTERS_TURN: Duration = Duration::from_millis(500);

    /// Moves a drain on; returns when to ask again.
    fn proceed(
        &mut self,
        phase: &mut Phase,
        is_closed_said: &mut bool,
        now: Instant,
    ) -> Option<Instant> {
        let census = match phase {
            Phase::Serving => return None,
            Phase::Draining(_) | Phase::Resolved(_) => self.census(),
        };
        let mut ask_again = None;
        if let Phase::Draining(drain) | Phase::Resolved(drain) = phase {
            self.pass_the_death_on(drain.half(), now);
            ask_again = self.is_death_untold.then_some(drain.half());
        }
        if let Phase::Draining(drain) = phase {
            match drain.verdict(census, || self.context.intake().has_waiting(), now) {
                Verdict::Wait(until) => ask_again = Some(until),
                Verdict::Resolve => {
                    *phase = Phase::Resolved(*drain);
                    self.context.seats().close_free();
                    self.context.shutdown().resolve();
                }
            }
        }
        if census.listeners == 0 && self.context.seats().are_closed() && !*is_closed_said {
            *is_closed_said = true;
            self.say_closed();
        }
        ask_again
    }

    /// A server that has no way to return an error of accept: the worker drains and ends, and the master replaces it. The
    /// queue is left to other workers, where there are some.
    fn hear_failure(&mut self, phase: &mut Phase) {
        if self.is_failure_handled {
            return;
        }
        let Some(error) = self.context.accept_error() else {
            return;
        };
        self.is_failure_handled = true;
        self.context.main_ended(MainEnd::Unable(error.one_line()));
        let queue = match &self.master {
            Master::Alive(_) => Queue::Leave,
            Master::None | Master::Dead => Queue::Serve,
        };
        self.begin(phase, self.grace, queue);
    }

    /// Threads that wait in a read for a silent client hold up the stop, and cannot see it. Returns when to ask again.
    fn end_silent_reads(&self, phase: &Phase, now: Instant) -> Option<Instant> {
        let (Phase::Draining(drain) | Phase::Resolved(drain)) = phase else {
            return None;
        };
        let silent_until = |last_use, at| drain.silent_until(last_use, at);
        self.context.intake().end_silent_reads(now, silent_until)
    }

    /// Returns when to ask again.
    fn log_shortages(&mut self, now: Instant) -> Option<Instant> {
        let facts = self.context.intake().shortages();
        if facts.is_empty() {
            return None;
        }
        let (lines, ask_again) = self.shortages.lines(&facts, now);
        for line in lines {
            self.log_shortage(line);
        }
        ask_again
    }

    fn log_shortage(&mut self, line: ShortageLine) {
        let (addr, stage) = match line {
            ShortageLine::Begins { addr, errno } => {
                let limit = process::max_descriptors();
                (addr, ShortageStage::Begins { errno, limit })
            }
            ShortageLine::IsOver { addr, lasted } => (addr, ShortageStage::IsOver { lasted }),
        };
        let listener = self.context.name_of(addr);
        let shortage = Shortage { listener, stage };
        match (&self.master, &mut self.on_shortage) {
            (Master::Alive(channel), _) => {
                let _ = channel.send(&FromChild::Shortage(shortage).encode());
            }
            (Master::None, Some(log)) => log(&shortage),
            (Master::None | Master::Dead, _) => {
                let (slot, pid) = (self.context.slot(), std::process::id());
                say(&format!("worker {slot} (pid {pid}) {shortage}"));
            }
        }
    }

    /// A listener that `main` has an argument for is as good as open.
    fn census(&self) -> Census {
        let mut census = self.context.intake().census();
        census.listeners += self.context.seats().awaited();
        census
    }

    /// The master closes its copies when all workers have: late clients are refused at once.
    fn say_closed(&self) {
        if let Master::Alive(channel) = &self.master {
            let _ = channel.send(&FromChild::Closed.encode());
        }
    }

    fn wait(&self, until: Option<Instant>) {
        let timeout = until.map_or(PollTimeout::NONE, |until| {
            let left = until.saturating_duration_since(Instant::now());
            let rounded = left + Duration::from_nanos(999_999);
            PollTimeout::try_from(rounded).unwrap_or(PollTimeout::MAX)
        });
        let readable = PollFlags::POLLIN;
        let bell = PollFd::new(self.bell.as_fd(), readable);
        let signals = PollFd::new(self.context.signals().as_fd(), readable);
        // Arrays: a worker at rest has not allocated anything on this thread. An interrupted wait is followed by a look
        // at everything, like any other.
        let _ = match &self.master {
            Master::Alive(channel) => {
                let channel = PollFd::new(channel.as_fd(), readable);
                match &self.master_process {
                    Some(process) => {
                        let process = PollFd::new(process.as_fd(), readable);
                        poll(&mut [bell, signals, channel, process], timeout)
                    }
                    None => poll(&mut [bell, signals, channel], timeout),
                }
            }
            Master::None | Master::Dead => poll(&mut [bell, signals], timeout),
        };
    }

    fn hear(&mut self, phase: &mut Phase) {
        self.bell.silence();
        self.hear_main(phase);
        // The master's word before the signal that it sends as well: it knows the budget.
        self.hear_master(phase);
        let context = Arc::clone(&self.context);
        for received in context.signals().received() {
            // It may have come just now, together with the signal.
            self.hear_master(phase);
            self.begin(phase, self.grace, Queue::Serve);
            let (first, last) = (received.first, received.last);
            match self.escalation.signals(received.signal, first, last) {
                StopSignal::Graceful => {}
                StopSignal::Immediate => process::exit_now(INTERRUPTED),
            }
        }
    }

    /// What is left after `main` drains like the rest of a worker that was asked to go; its queue is the replacement's.
    /// Without a master nothing replaces it: then the process goes on as long as the program wants.
    fn hear_main(&self, phase: &mut Phase) {
        match self.master {
            Master::Alive(_) | Master::Dead if self.context.has_main_ended() => {
                self.begin(phase, self.grace, Queue::Leave);
            }
            Master::Alive(_) | Master::Dead | Master::None => {}
        }
    }

    fn hear_master(&mut self, phase: &mut Phase) {
        loop {
            let Master::Alive(channel) = &self.master else {
                return;
            };
            let frame = match channel.receive() {
                Received::Frame(frame) => frame,
                // Descriptors are refused at the master's end alone.
                Received::TooLong | Received::Descriptors => continue,
                // Its last frames before its death.
                Received::Nothing if !self.is_master_dead() => return,
                Received::Nothing | Received::End => return self.master_died(phase),
            };
            match FromMaster::decode(&frame) {
                Some(FromMaster::Drain { budget, queue }) => self.begin(phase, budget, queue),
                Some(FromMaster::Welcome { grace, .. }) => self.grace = grace,
                // Nothing of ours writes log files yet; and what a later master may say.
                Some(FromMaster::ReopenLogs) | None => {}
            }
        }
    }

    fn is_master_dead(&self) -> bool {
        self.master_process
            .as_ref()
            .is_some_and(|process| process.has_ended())
    }

    fn master_died(&mut self, phase: &mut Phase) {
        self.master = Master::Dead;
        let process = self.master_process.take();
        self.is_master_gone = process.is_some_and(|process| process.ends_within(MOMENT.into()));
        self.say_alone();
        // First: a body that is quick to end waits for a hook that it sees.
        self.run_hook();
        self.begin(phase, self.grace, Queue::Serve);
        self.is_death_untold = self.process == Process::Own;
    }

    /// The first one counts.
    fn begin(&self, phase: &mut Phase, budget: Duration, queue: Queue) {
        if !matches!(phase, Phase::Serving) {
            return;
        }
        let drain = Drain::new(Instant::now(), budget);
        self.context.shutdown().begin(drain.deadline);
        self.context.intake().begin_drain(net::DrainOrder {
            until: drain.half(),
            leaves_queue: queue == Queue::Leave,
            frees_address: self.is_master_gone,
        });
        *phase = Phase::Draining(drain);
    }

    /// One line of each worker: nobody else is there to say what happened. Not of a guest, whose master is a test.
    fn say_alone(&self) {
        match self.process {
            Process::Guest => {}
            Process::Own => {
                let slot = self.context.slot();
                let pid = std::process::id();
                say(&format!(
                    "worker {slot} (pid {pid}): the master is gone, finishing"
                ));
            }
        }
    }

    fn run_hook(&mut self) {
        let Some(hook) = self.on_master_death.take() else {
            return;
        };
        let bell = Arc::clone(&self.bell);
        self.context.farewell().say(hook, say, move || bell.ring());
    }

    /// For bodies that only know signals; one that knows none ends here. After the hook, which it
    /// would end as well, but not later than in the middle of the budget.
    fn pass_the_death_on(&mut self, half: Instant, now: Instant) {
        if self.is_death_untold && (!self.context.farewell().is_running() || now >= half) {
            self.is_death_untold = false;
            process::terminate_self();
        }
    }

    fn end_now(&self) -> ! {
        let slot = self.context.slot();
        let pid = std::process::id();
        if self.is_failure_handled {
            process::exit_now(FAILED);
        }
        if self.grace.is_zero() {
            // No time is what was asked for.
            process::exit_now(0);
        }
        let grace = prefork_options::duration::format(self.grace);
        say(&format!(
            "worker {slot} (pid {pid}) did not end in time (shutdown_grace_period = {grace}), it ends now"
        ));
        process::exit_now(TIMED_OUT)
    }
}

/// There is no master to say it.
fn say(text: &str) {
    let line = format!("prefork: {}\n", text.escape_debug());
    let _ = stderr::write_now(line.as_bytes());
}
