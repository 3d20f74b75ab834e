//! Carries out rollouts: opens the program, reports each replaced worker and the verdict.

use std::path::Path;

use prefork_options::duration;

use super::child::ChildProcess;
use super::notice::WorkerRole;
use super::reload::ReloadReply;
use super::rollout::{NeedsRestart, SuccessorFailure};
use super::rollout_verdict::{RolloutRefusal, RolloutStage};
use super::{Master, Notice, RolloutVerdict};
use crate::channel::FromMaster;
use crate::spawn::SpawnError;
use crate::supervisor::{ChildId, Event, Refusal, RefusalStage, SlotId, Verdict};
use crate::sys::process::has_terminal;
use crate::sys::signals::ReceivedSignal;

impl Master {
    /// Handles SIGHUP: a rollout, or a stop if the terminal of this process has hung up.
    pub(super) fn on_hangup_signal(&mut self, received: ReceivedSignal) {
        if self.had_terminal && !has_terminal() {
            return self.on_stop_signal(received);
        }
        self.on_repeated_signal(received);
        self.request_rollout(None);
    }

    pub(super) fn reload(&mut self, reply: ReloadReply) {
        if !self.supervisor.is_stopping() {
            self.emit(&Notice::RolloutRequested { by: None });
        }
        self.request_rollout(Some(reply));
    }

    fn request_rollout(&mut self, reply: Option<ReloadReply>) {
        // During a stop the reply is dropped, which answers it.
        if !self.supervisor.is_stopping() {
            self.rollout.request(reply);
            self.notify_heard(Event::RolloutRequested);
        }
    }

    pub(super) fn open_program(&mut self) {
        self.rollout.begin();
        // A service manager that waits for the first workers does not expect a reload.
        self.rollout.is_announced = self.was_healthy;
        let program = self.rollout.shown_path();
        let workers = self.supervisor.snapshot().slots().len();
        self.emit(&Notice::RolloutBegan {
            program: &program,
            workers,
            is_announced: self.was_healthy,
        });
        let event = match self.rollout.open() {
            Ok(program) => Event::ProgramOpened { program },
            // `child_producer` names other programs, which are opened by each start.
            Err(_) if !self.rollout.is_program_used => {
                let program = self.rollout.keep();
                Event::ProgramOpened { program }
            }
            Err(error) => {
                self.rollout.open_error = Some(error);
                Event::ProgramFailed
            }
        };
        self.notify(event);
    }

    /// Checks whether a successor can work with the listeners and options of this master.
    ///
    /// # Errors
    /// It cannot. The successor violates the protocol then, so that the rollout is refused.
    pub(super) fn check_hello(
        &mut self,
        id: ChildId,
        listeners: &[String],
        options: Vec<String>,
        has_gate: bool,
    ) -> Result<(), NeedsRestart> {
        let Some(child) = self.children.get_mut(&id) else {
            return Ok(());
        };
        self.rollout.note_gate(child.program, has_gate);
        if child.role == WorkerRole::Standby && !has_gate {
            child.violation = Some(
                "does not wait as a standby: its main takes no prefork::net::Listener, \
                 TlsListener or Worker, or it takes a listener of std or tokio",
            );
            return Err(NeedsRestart);
        }
        if !child.is_successor() {
            let is_first = self.rollout.declared.is_none() && !options.is_empty();
            if is_first && self.rollout.is_accepted(child.program) {
                self.rollout.declared = Some(options);
            }
            return Ok(());
        }
        let is_held = |name: &String| self.listeners.iter().any(|held| held.info.name() == name);
        let missing = listeners.iter().find(|name| !is_held(name));
        let differing = self.rollout.differing_options(&options);
        let what = match missing {
            Some(name) => format!("takes a listener that this master does not have ({name})"),
            None if self.standbys > 0 && !has_gate => {
                "cannot wait as a standby (standby is set)".to_owned()
            }
            None if differing.is_empty() => return Ok(()),
            None => {
                let names = differing.join(", ");
                format!("sets options to other values than the program of this master ({names})")
            }
        };
        child.violation = Some("needs a restart of the master");
        let failure = SuccessorFailure {
            pid: Some(child.pid),
            cause: format!("{what}: restart needed"),
            last_words: None,
        };
        self.rollout.failures.insert(id, failure);
        Err(NeedsRestart)
    }

    /// The successor fills its slot now.
    pub(super) fn report_replaced(&mut self, slot: SlotId, id: ChildId, previous: Option<ChildId>) {
        let previous = match previous {
            Some(previous) => self.children.get(&previous).map(|child| child.pid),
            // It has exited. No replacement follows that would name it.
            None => self.exits.replaced(slot.0, None).map(|exit| exit.pid),
        };
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        child.role = WorkerRole::Worker;
        if let Some(channel) = &child.channel {
            // It gets back the stderr of the master, which does not end with this process.
            let _ = channel.send(&FromMaster::StderrReleased.encode());
        }
        self.rollout.stderr.release(id);
        let (worker, program) = (child.process(), child.program);
        self.emit(&Notice::WorkerReplaced {
            worker,
            previous,
            is_roll_back: self.rollout.is_accepted(program),
        });
    }

    pub(super) fn report_verdict(&mut self, verdict: Verdict) {
        let verdict = match verdict {
            Verdict::Accepted {
                replaced, began, ..
            } => RolloutVerdict::Accepted {
                replaced,
                took: began.elapsed(),
            },
            Verdict::Refused {
                refusal,
                rolled_back,
                left,
                began,
            } => {
                let failure = self.failure_of(refusal);
                let stderr_tail = refusal.child.map_or_else(String::new, |(_, id)| {
                    self.rollout.stderr.tail(id, &self.poller)
                });
                RolloutVerdict::Refused(RolloutRefusal {
                    stage: stage(refusal.stage),
                    slot: refusal.child.map(|(slot, _)| slot.0),
                    pid: failure.pid,
                    cause: failure.cause,
                    last_words: failure.last_words,
                    stderr_tail,
                    rolled_back,
                    left,
                    took: began.elapsed(),
                    accepted: self.rollout.accepted_path(),
                })
            }
            Verdict::Stopped => RolloutVerdict::Stopped,
        };
        self.emit(&Notice::RolloutEnded {
            verdict: &verdict,
            is_announced: self.rollout.is_announced && !self.supervisor.is_stopping(),
        });
        self.rollout.end(&verdict);
    }

    fn failure_of(&mut self, refusal: Refusal) -> SuccessorFailure {
        let limit = duration::format(self.rollout_timeout);
        let Some((_, id)) = refusal.child else {
            let cause = match refusal.stage {
                RefusalStage::Open => self.rollout.open_error.take().unwrap_or_default(),
                _ => format!("rollout_timeout ({limit}) is over"),
            };
            return SuccessorFailure {
                pid: None,
                cause,
                last_words: None,
            };
        };
        let exited = self.rollout.failures.remove(&id);
        let child = self.children.get(&id);
        if refusal.stage == RefusalStage::Time {
            return SuccessorFailure {
                pid: child.map(|child| child.pid),
                cause: format!("had not replaced a worker within rollout_timeout ({limit})"),
                last_words: None,
            };
        }
        exited.unwrap_or_else(|| SuccessorFailure {
            pid: child.map(|child| child.pid),
            cause: child.map_or_else(|| "failed".to_owned(), ChildProcess::failure),
            last_words: child.and_then(ChildProcess::last_words),
        })
    }

    /// Records why no successor could be started.
    pub(super) fn record_failed_start(&mut self, child: ChildId, error: &SpawnError) {
        let cause = match error {
            SpawnError::System {
                program,
                call,
                source,
            } => {
                // The kernel cannot pass an open descriptor to the interpreter of a script
                // (execveat(2)).
                let is_missing = source.raw_os_error() == Some(libc::ENOENT);
                let hint = if is_missing && Path::new(program).exists() {
                    " (the program is a script, or its loader does not exist)"
                } else {
                    ""
                };
                format!("could not be started: cannot execute {program} ({call}): {source}{hint}")
            }
            SpawnError::CommandHook(error) => format!("could not be started: {error}"),
            SpawnError::SignalMask(error) => format!("could not be started: {error}"),
        };
        let failure = SuccessorFailure {
            pid: None,
            cause,
            last_words: None,
        };
        self.rollout.failures.insert(child, failure);
    }
}

fn stage(stage: RefusalStage) -> RolloutStage {
    match stage {
        RefusalStage::Open => RolloutStage::Open,
        RefusalStage::Start => RolloutStage::Start,
        RefusalStage::Ready => RolloutStage::Ready,
        RefusalStage::Soak => RolloutStage::Soak,
        RefusalStage::Serve => RolloutStage::Serve,
        RefusalStage::Time => RolloutStage::Timeout,
    }
}
