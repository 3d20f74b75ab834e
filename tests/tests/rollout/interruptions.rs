//! Processes that are killed or paused at each step of a rollout.

use std::path::Path;

use prefork_testkit::{ChildInfo, RunningServer, Signal, eventually};
use prefork_tests::{proc, signals};

use super::releases::{
    Releases, assert_serves, release_of, reload, settled, verdict_after, verdicts,
};

/// How far a rollout is when a signal is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    /// The successor in slot 0 runs, and is not ready.
    Starting,
    /// The successor in slot 0 soaks, beside the worker that it will replace.
    Soaking,
    /// Slot 0 has a new worker. The successors in the other slots soak.
    Replaced,
}

const STEPS: [Step; 3] = [Step::Starting, Step::Soaking, Step::Replaced];

/// A rollout that stays at its step for long enough.
struct Rollout {
    releases: Releases,
    server: RunningServer,
    before: Vec<ChildInfo>,
    /// The number of descriptors of the master.
    fds: usize,
}

impl Rollout {
    fn at(step: Step) -> Self {
        let releases = Releases::new();
        let (canary, soak) = match step {
            Step::Starting | Step::Soaking => ("2s", "100ms"),
            Step::Replaced => ("100ms", "2s"),
        };
        let server = releases
            .server()
            .env("PREFORK_ROLLOUT_CANARY", canary)
            .env("PREFORK_ROLLOUT_SOAK", soak)
            .env("PREFORK_READY_TIMEOUT", "2s")
            .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "1s")
            .start();
        let behavior = match step {
            Step::Starting => "never accepts",
            Step::Soaking | Step::Replaced => "",
        };
        releases.add("two", behavior);
        let before = settled(&server);
        let fds = proc::fds(server.master_pid()).len();
        releases.switch("two");
        server.signal(Signal::SIGHUP);
        let rollout = Self {
            releases,
            server,
            before,
            fds,
        };
        // The successor that runs at this step.
        rollout.new_worker(usize::from(step == Step::Replaced));
        rollout
    }

    /// The worker or successor of the new program in this slot.
    fn new_worker(&self, slot: usize) -> ChildInfo {
        let two = self.releases.path("two/app");
        let is_new = |child: &ChildInfo| {
            child.slot == slot && release_of(*child).as_deref() == Some(Path::new(&two))
        };
        eventually("a process of the new program", || {
            self.server.children().into_iter().find(is_new)
        })
    }

    fn assert_refused(&self) {
        let verdict = verdict_after(&self.server, 0);
        assert!(verdict.contains("refused"), "{:#?}", self.server.log());
        let settled = settled(&self.server);
        for (old, new) in self.before.iter().zip(settled).skip(1) {
            assert_eq!(*old, new, "{:#?}", self.server.log());
        }
        assert_serves(&self.server, "one");
    }

    fn assert_accepted(&self) {
        let verdict = verdict_after(&self.server, 0);
        assert!(verdict.contains("accepted"), "{:#?}", self.server.log());
        settled(&self.server);
        assert_serves(&self.server, "two");
    }

    /// There was one verdict, nothing is left, and a good program is accepted.
    fn assert_over(self) {
        assert_eq!(verdicts(&self.server).len(), 1, "{:#?}", self.server.log());
        self.releases.switch("one");
        assert!(
            reload(&self.server).contains("accepted"),
            "{:#?}",
            self.server.log()
        );
        settled(&self.server);
        assert_serves(&self.server, "one");
        eventually("no other process", || {
            (self.server.processes().len() == 5).then_some(())
        });
        eventually("the descriptors of before", || {
            (proc::fds(self.server.master_pid()).len() == self.fds).then_some(())
        });
    }
}

#[test]
fn a_killed_process_of_the_new_program_refuses_the_rollout_at_each_step() {
    for step in STEPS {
        let rollout = Rollout::at(step);
        // At the last step, this is the worker that has replaced the old one.
        let victim = rollout.new_worker(0);
        signals::send(victim.pid, Signal::SIGKILL).expect("it runs");
        rollout.assert_refused();
        let verdict = &verdicts(&rollout.server)[0];
        let text = format!("(pid {}) was killed by SIGKILL", victim.pid);
        assert!(verdict.contains(&text), "{step:?}: {verdict}");
        if step != Step::Replaced {
            assert_eq!(settled(&rollout.server), rollout.before, "{step:?}");
        }
        rollout.assert_over();
    }
}

#[test]
fn a_killed_worker_of_the_old_program_is_recovered_at_each_step() {
    for step in STEPS {
        // The slot of the first successor, and another one.
        for slot in [usize::from(step == Step::Replaced), 3] {
            let rollout = Rollout::at(step);
            let old = rollout.before[slot];
            signals::send(old.pid, Signal::SIGKILL).expect("it runs");
            let one = rollout.releases.path("one/app");
            eventually("a replacement of the old program", || {
                let mut children = rollout.server.children().into_iter();
                children.find(|child| {
                    let is_other = child.slot == slot && *child != old;
                    is_other && release_of(*child).as_ref() == Some(&one)
                })
            });
            if step == Step::Starting {
                let verdict = verdict_after(&rollout.server, 0);
                assert!(verdict.contains("ready_timeout"), "{verdict}");
            } else {
                rollout.assert_accepted();
            }
            rollout.assert_over();
        }
    }
}

#[test]
fn nothing_outlives_a_master_that_is_killed_at_each_step() {
    for step in STEPS {
        let rollout = Rollout::at(step);
        let successor = rollout.new_worker(usize::from(step == Step::Replaced));
        let Rollout { mut server, .. } = rollout;
        server.signal(Signal::SIGKILL);
        server.wait();
        eventually("the end of all workers", || {
            server.processes().is_empty().then_some(())
        });
        // Its stderr was a pipe to the master.
        let (slot, pid) = (successor.slot, successor.pid);
        let line = format!("prefork: worker {slot} (pid {pid}): master process died; draining");
        let log = server.final_log();
        assert!(log.contains(&line), "{step:?}: {log:#?}");
    }
}

#[test]
fn a_paused_successor_is_not_ready_in_time() {
    let rollout = Rollout::at(Step::Starting);
    let successor = rollout.new_worker(0);
    signals::send(successor.pid, Signal::SIGSTOP).expect("it runs");
    rollout.assert_refused();
    assert_eq!(settled(&rollout.server), rollout.before);
    rollout.assert_over();
}

/// Whether a process serves is not a part of the verdict: it has lived through its soak.
#[test]
fn a_successor_that_pauses_in_its_soak_delays_nothing() {
    for step in [Step::Soaking, Step::Replaced] {
        let rollout = Rollout::at(step);
        let paused = rollout.new_worker(usize::from(step == Step::Replaced));
        signals::send(paused.pid, Signal::SIGSTOP).expect("it runs");
        let verdict = verdict_after(&rollout.server, 0);
        assert!(verdict.contains("accepted"), "{:#?}", rollout.server.log());
        signals::send(paused.pid, Signal::SIGCONT).expect("it runs");
        rollout.assert_over();
    }
}

#[test]
fn a_paused_worker_of_the_old_program_is_killed_after_its_grace_period() {
    for step in [Step::Soaking, Step::Replaced] {
        let rollout = Rollout::at(step);
        signals::send(rollout.before[3].pid, Signal::SIGSTOP).expect("it runs");
        rollout.assert_accepted();
        rollout.assert_over();
    }
}

#[test]
fn a_paused_master_continues_its_rollout() {
    for step in STEPS {
        let rollout = Rollout::at(step);
        let master = rollout.server.master_pid();
        rollout.server.signal(Signal::SIGSTOP);
        eventually("a paused master", || proc::is_stopped(master).then_some(()));
        // The workers serve without it.
        assert_serves_something(&rollout.server);
        rollout.server.signal(Signal::SIGCONT);
        if step == Step::Starting {
            rollout.assert_refused();
        } else {
            rollout.assert_accepted();
        }
        rollout.assert_over();
    }
}

/// Clients get answers, of any program.
fn assert_serves_something(server: &RunningServer) {
    for _ in 0..20 {
        prefork_tests::client::get(server.addr(), "/").expect("an answer");
    }
}
