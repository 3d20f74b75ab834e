//! Decides what a worker does from its start to its end.
//!
//! A plain value: time and facts are arguments. It has the four families of methods of the
//! supervisor: `handle` receives an event, `next_action` returns one action, `deadline` returns when
//! to ask again, and `is_over` whether nothing is left to do. It does not know how an action is
//! performed; the monitor thread does. `lifecycle/TABLE.md` has its rules as tables, which a test
//! compares with this code.

mod drain;
mod readiness;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use drain::DrainDecision;
pub(super) use drain::{Connections, Drain};
use readiness::ReadinessReports;

/// How long a worker may drain, as its master or the configuration says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DrainTimes {
    /// How long a process without a master serves on after a stop was requested.
    pub(crate) delay: Duration,
    /// The budget of a drain that the master does not request.
    pub(crate) grace: Duration,
    /// How long kept connections may stay open.
    pub(crate) keepalive_grace: Duration,
}

/// The life of a worker, or of the process of single-process mode.
#[derive(Debug, Clone)]
pub(super) struct Lifecycle {
    host: Host,
    master: Master,
    times: DrainTimes,
    stage: Stage,
    readiness: ReadinessReports,
    /// The deadline of the drain in the last action that had one.
    shown_deadline: Option<Instant>,
    /// Whether a listener can no longer accept.
    has_failed: bool,
    is_interrupted: bool,
    is_closed_sent: bool,
}

/// The process that `main` runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Host {
    /// The worker's own process, which ends at the deadline.
    Process,
    /// The process of a test, which plays the master. It is never ended.
    Test,
}

/// The master, as the worker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Master {
    /// Single-process mode.
    None,
    Alive,
    Dead(Orphan),
}

/// What a worker does because its master died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Orphan {
    /// The hook `on_master_death` has not been started.
    MustRunHook,
    HookRunning,
    /// The process has to send itself SIGTERM, for programs that only handle signals.
    MustTerminate,
    Terminated,
}

#[derive(Debug, Clone)]
enum Stage {
    /// A successor or a standby: it accepts no connection until the master opens its gate.
    Gated,
    /// The master has opened the gate; the listeners have to accept.
    MustOpenGate,
    Serving,
    /// A stop was requested in a process without a master, which serves on until then.
    Delaying {
        until: Instant,
        is_announced: bool,
    },
    /// A drain was requested; its listeners have to be closed.
    MustDrain {
        drain: Drain,
        backlog: Backlog,
        frees_address: bool,
    },
    Draining(Drain),
    /// `shutdown()` has resolved.
    Resolved(Drain),
}

/// What a drain does with the connections that wait in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backlog {
    /// It serves them: no other worker will.
    Serve,
    /// It leaves them: another worker has the same queue.
    Leave,
}

/// What happened to the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The master opened the gate.
    GateOpened,
    /// `main` took back the readiness of the worker, or is ready again.
    ReadinessChanged {
        is_ready: bool,
    },
    /// The master requested a drain within this budget.
    DrainRequested {
        budget: Duration,
    },
    /// SIGTERM, or a signal with the same meaning.
    Terminated,
    /// A signal that ends a stop at once.
    Interrupted,
    /// The master died. The process of the master ended, or only the thread that ran the master.
    MasterDied {
        is_process_gone: bool,
    },
    /// No hook `on_master_death` is running (any more).
    HookFinished,
    MainEnded,
    /// A listener can no longer accept. The server may have no way to return the error.
    AcceptFailed,
    /// Listeners or connections changed, for example because one ended or was read.
    Changed(Connections),
    /// The answer to [`Action::CheckReadable`].
    ReadableChecked {
        has_readable: bool,
    },
}

/// What the worker does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Let the listeners accept connections.
    OpenGate,
    /// Report that a stop was requested, and serve on.
    AnnounceStop,
    /// Report to the master, or in a single process to the observer, that the worker is not ready
    /// any more, or ready again.
    ReportReadiness {
        is_ready: bool,
    },
    /// Log that the master died, and start the hook `on_master_death`.
    RunHook,
    /// Begin the drain: `shutdown()` shows the deadline, and the listeners accept what waits in the
    /// queue, then close.
    CloseListeners {
        deadline: Instant,
        /// Until when they may accept.
        until: Instant,
        backlog: Backlog,
        /// Also free the address, although other processes may hold copies of the sockets.
        frees_address: bool,
    },
    /// A later request left less time: `shutdown()` shows this deadline, and listeners accept until
    /// this time at the latest.
    Shorten {
        deadline: Instant,
        until: Instant,
    },
    /// Send this process SIGTERM.
    Terminate,
    /// Check whether unread connections have bytes to read.
    CheckReadable,
    /// Close the listeners that were not taken, and resolve `shutdown()`.
    Resolve,
    /// Report to the master that all listeners are closed.
    SendClosed,
    EndProcess(EndCause),
}

/// Why the process is ended without waiting for `main`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndCause {
    Interrupted,
    /// `main` did not end in time after an error of accept.
    AcceptFailed,
    /// A grace period of zero requests an exit without a drain.
    NoGrace,
    /// `main` did not end within the grace period.
    TimedOut {
        grace: Duration,
    },
}

impl Lifecycle {
    /// How much later than the master the process is ended.
    ///
    /// It matters if another process sent SIGTERM to this worker, which the master does not know.
    const MASTER_KILL_MARGIN: Duration = Duration::from_millis(500);

    pub(super) fn new(host: Host, has_master: bool, times: DrainTimes) -> Self {
        Self {
            host,
            master: if has_master {
                Master::Alive
            } else {
                Master::None
            },
            times,
            stage: Stage::Serving,
            readiness: ReadinessReports::default(),
            shown_deadline: None,
            has_failed: false,
            is_interrupted: false,
            is_closed_sent: false,
        }
    }

    /// Makes it a successor or a standby: it accepts no connection until [`Event::GateOpened`].
    pub(super) fn gated(mut self) -> Self {
        self.stage = Stage::Gated;
        self
    }

    pub(super) fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::GateOpened => match self.stage {
                Stage::Gated => self.stage = Stage::MustOpenGate,
                // It is open, or the worker drains.
                Stage::MustOpenGate
                | Stage::Serving
                | Stage::Delaying { .. }
                | Stage::MustDrain { .. }
                | Stage::Draining(_)
                | Stage::Resolved(_) => {}
            },
            Event::ReadinessChanged { is_ready } => self.readiness.set(is_ready),
            Event::DrainRequested { budget } => self.drain(budget, Backlog::Serve, now),
            Event::Terminated => self.on_termination(now),
            Event::Interrupted => self.is_interrupted = true,
            Event::MasterDied { is_process_gone } => self.on_master_death(is_process_gone, now),
            Event::HookFinished => {
                if self.master == Master::Dead(Orphan::HookRunning) {
                    self.master = Master::Dead(Orphan::MustTerminate);
                }
            }
            // The queue is left to the replacement.
            Event::MainEnded if self.master != Master::None => {
                self.drain(self.times.grace, Backlog::Leave, now);
            }
            // Nothing replaces a single process, so it runs as long as the program wants.
            Event::MainEnded => {}
            Event::AcceptFailed => {
                self.has_failed = true;
                let backlog = match self.master {
                    Master::Alive => Backlog::Leave,
                    Master::None | Master::Dead(_) => Backlog::Serve,
                };
                self.drain(self.times.grace, backlog, now);
            }
            Event::Changed(connections) => match &mut self.stage {
                Stage::Draining(drain) | Stage::Resolved(drain) => drain.count(connections, now),
                // They are counted when the drain begins.
                Stage::Gated
                | Stage::MustOpenGate
                | Stage::Serving
                | Stage::Delaying { .. }
                | Stage::MustDrain { .. } => {}
            },
            Event::ReadableChecked { has_readable } => match &mut self.stage {
                Stage::Draining(drain) => drain.readable_checked(has_readable),
                // Only a drain that has not resolved depends on it.
                Stage::Gated
                | Stage::MustOpenGate
                | Stage::Serving
                | Stage::Delaying { .. }
                | Stage::MustDrain { .. }
                | Stage::Resolved(_) => {}
            },
        }
    }

    fn on_termination(&mut self, now: Instant) {
        match self.stage {
            Stage::Serving if self.master == Master::None && !self.times.delay.is_zero() => {
                self.stage = Stage::Delaying {
                    until: now + self.times.delay,
                    is_announced: false,
                };
            }
            // Another signal does not prolong the delay.
            Stage::Delaying { .. } => {}
            Stage::Gated
            | Stage::MustOpenGate
            | Stage::Serving
            | Stage::MustDrain { .. }
            | Stage::Draining(_)
            | Stage::Resolved(_) => self.drain(self.times.grace, Backlog::Serve, now),
        }
    }

    fn on_master_death(&mut self, is_process_gone: bool, now: Instant) {
        if self.master != Master::Alive {
            return;
        }
        self.master = Master::Dead(match self.host {
            Host::Process => Orphan::MustRunHook,
            // Its signals belong to the test, which has no hook either.
            Host::Test => Orphan::Terminated,
        });
        self.drain(self.times.grace, Backlog::Serve, now);
        if let Stage::MustDrain {
            backlog,
            frees_address,
            ..
        } = &mut self.stage
        {
            // The successor of the master must be able to bind the address. A worker that leaves
            // the queue must not end it: other workers serve it.
            *frees_address = is_process_gone && *backlog == Backlog::Serve;
        }
    }

    /// Begins a drain. If one has begun, it can only become shorter.
    ///
    /// For example, a worker that got SIGTERM from another process drains with the whole grace
    /// period, and a stop of the master that has begun earlier leaves less.
    fn drain(&mut self, budget: Duration, backlog: Backlog, now: Instant) {
        let backlog = match &mut self.stage {
            // The child that it was to replace has the same queue.
            Stage::Gated => Backlog::Leave,
            // Without a living master, nothing else may serve the queue.
            Stage::MustOpenGate | Stage::Serving
                if self.readiness.is_taken_back() && self.master == Master::Alive =>
            {
                Backlog::Leave
            }
            Stage::MustOpenGate | Stage::Serving | Stage::Delaying { .. } => backlog,
            Stage::MustDrain { drain, .. } | Stage::Draining(drain) | Stage::Resolved(drain) => {
                drain.shorten(now, budget);
                return;
            }
        };
        self.stage = Stage::MustDrain {
            drain: Drain::new(now, budget, self.times.keepalive_grace),
            backlog,
            frees_address: false,
        };
    }

    /// Returns one action. The caller performs it and asks again.
    pub(super) fn next_action(&mut self, now: Instant) -> Option<Action> {
        if let Some(cause) = self.end_cause(now) {
            return Some(Action::EndProcess(cause));
        }
        if self.master == Master::Dead(Orphan::MustRunHook) {
            // Before the drain: a `main` that returns quickly waits for a running hook.
            self.master = Master::Dead(Orphan::HookRunning);
            return Some(Action::RunHook);
        }
        if let Stage::MustOpenGate = self.stage {
            self.stage = Stage::Serving;
            return Some(Action::OpenGate);
        }
        if let Stage::Delaying {
            until,
            is_announced,
        } = &mut self.stage
        {
            if !std::mem::replace(is_announced, true) {
                return Some(Action::AnnounceStop);
            }
            if *until <= now {
                self.drain(self.times.grace, Backlog::Serve, now);
            }
        }
        if self.has_reports()
            && let Some(is_ready) = self.readiness.report(now)
        {
            return Some(Action::ReportReadiness { is_ready });
        }
        if let Stage::MustDrain {
            drain,
            backlog,
            frees_address,
        } = self.stage
        {
            self.stage = Stage::Draining(drain);
            self.shown_deadline = Some(drain.deadline);
            return Some(Action::CloseListeners {
                deadline: drain.deadline,
                until: drain.half,
                backlog,
                frees_address,
            });
        }
        if let Some(&Drain { deadline, half, .. }) = self.draining()
            && self.shown_deadline.replace(deadline) != Some(deadline)
        {
            let until = half;
            return Some(Action::Shorten { deadline, until });
        }
        if self.must_terminate(now) {
            self.master = Master::Dead(Orphan::Terminated);
            return Some(Action::Terminate);
        }
        if let Stage::Draining(drain) = self.stage {
            match drain.decide(now) {
                DrainDecision::Resolve => {
                    self.stage = Stage::Resolved(drain);
                    return Some(Action::Resolve);
                }
                DrainDecision::CheckReadable => return Some(Action::CheckReadable),
                DrainDecision::Wait(_) => {}
            }
        }
        let is_closed = self.draining().is_some_and(Drain::is_closed);
        if is_closed && !self.is_closed_sent && self.master == Master::Alive {
            self.is_closed_sent = true;
            return Some(Action::SendClosed);
        }
        None
    }

    /// Returns when to ask for an action again, if no event comes before.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let resolve = match &self.stage {
            Stage::Draining(drain) => match drain.decide(now) {
                DrainDecision::Wait(until) => Some(until),
                DrainDecision::Resolve | DrainDecision::CheckReadable => Some(now),
            },
            Stage::Delaying { until, .. } => Some(*until),
            Stage::Gated
            | Stage::MustOpenGate
            | Stage::Serving
            | Stage::MustDrain { .. }
            | Stage::Resolved(_) => None,
        };
        let terminate = match self.master {
            // The default action of SIGTERM ends the process, so it waits for the hook until then.
            Master::Dead(Orphan::HookRunning) => self.draining().map(|drain| drain.half),
            Master::None | Master::Alive | Master::Dead(_) => None,
        };
        let report = self.readiness.due(now).filter(|_| self.has_reports());
        let all = [report, resolve, terminate, self.end_at()];
        all.into_iter().flatten().min()
    }

    /// Whether nothing is left to do. In a worker's own process, the monitor runs until the exit.
    pub(super) fn is_over(&self) -> bool {
        self.host == Host::Test
            && matches!(
                (&self.master, &self.stage),
                (Master::Dead(_), Stage::Resolved(_))
            )
    }

    /// Whether the readiness counts. A worker that drains is not ready.
    fn has_reports(&self) -> bool {
        match self.stage {
            Stage::Gated | Stage::MustOpenGate | Stage::Serving | Stage::Delaying { .. } => true,
            Stage::MustDrain { .. } | Stage::Draining(_) | Stage::Resolved(_) => false,
        }
    }

    /// The drain, once the listeners were asked to close.
    pub(super) fn draining(&self) -> Option<&Drain> {
        match &self.stage {
            Stage::Draining(drain) | Stage::Resolved(drain) => Some(drain),
            Stage::Gated
            | Stage::MustOpenGate
            | Stage::Serving
            | Stage::Delaying { .. }
            | Stage::MustDrain { .. } => None,
        }
    }

    /// Whether a listener can no longer accept.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }

    fn must_terminate(&self, now: Instant) -> bool {
        match self.master {
            Master::Dead(Orphan::MustTerminate) => true,
            Master::Dead(Orphan::HookRunning) => {
                self.draining().is_some_and(|drain| now >= drain.half)
            }
            Master::None
            | Master::Alive
            | Master::Dead(Orphan::MustRunHook | Orphan::Terminated) => false,
        }
    }

    /// Returns when to end the process.
    ///
    /// A master that is alive kills the worker first, and logs it.
    fn end_at(&self) -> Option<Instant> {
        if self.host == Host::Test {
            return None;
        }
        let deadline = self.draining()?.deadline;
        Some(match self.master {
            Master::Alive => deadline + Self::MASTER_KILL_MARGIN,
            Master::None | Master::Dead(_) => deadline,
        })
    }

    fn end_cause(&self, now: Instant) -> Option<EndCause> {
        if self.is_interrupted && self.host == Host::Process {
            return Some(EndCause::Interrupted);
        }
        if now < self.end_at()? {
            return None;
        }
        Some(if self.has_failed {
            EndCause::AcceptFailed
        } else if self.times.grace.is_zero() {
            EndCause::NoGrace
        } else {
            EndCause::TimedOut {
                grace: self.times.grace,
            }
        })
    }
}
