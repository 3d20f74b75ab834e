//! Processes that are killed or paused at each step of a rollout.

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
    /// As before, and the old worker of slot 0 drains.
    Draining,
    /// Slots 0 and 1 have new workers, and the successor in slot 2 has failed. A successor of the
    /// old program starts in slot 0.
    RollingBack,
}

const FORWARD: [Step; 3] = [Step::Starting, Step::Soaking, Step::Replaced];

const STEPS: [Step; 5] = [
    Step::Starting,
    Step::Soaking,
    Step::Replaced,
    Step::Draining,
    Step::RollingBack,
];

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
            Step::Replaced | Step::Draining => ("100ms", "2s"),
            Step::RollingBack => ("100ms", "100ms"),
        };
        let (parallel, grace) = match step {
            Step::Starting | Step::Soaking | Step::Replaced => ("100%", "1s"),
            Step::Draining => ("100%", "3s"),
            Step::RollingBack => ("1", "1s"),
        };
        let server = releases
            .server()
            .env("PREFORK_ROLLOUT_CANARY", canary)
            .env("PREFORK_ROLLOUT_SOAK", soak)
            .env("PREFORK_ROLLOUT_PARALLEL", parallel)
            .env("PREFORK_READY_TIMEOUT", "2s")
            .env("PREFORK_SHUTDOWN_GRACE_PERIOD", grace);
        let (old, new) = match step {
            Step::Starting => ("", "never accepts"),
            Step::Soaking | Step::Replaced => ("", ""),
            Step::Draining => ("drains slowly", ""),
            Step::RollingBack => ("", "fails in slot 2"),
        };
        releases.set_behavior("one", old);
        let server = server.start();
        releases.add("two", new);
        let before = settled(&server);
        let fds = proc::fds(server.master_pid()).len();
        if step == Step::RollingBack {
            releases.set_behavior("one", "starts in a second");
        }
        releases.switch("two");
        server.signal(Signal::SIGHUP);
        let rollout = Self {
            releases,
            server,
            before,
            fds,
        };
        rollout.successor(step);
        rollout
    }

    /// The successor that runs at this step.
    fn successor(&self, step: Step) -> ChildInfo {
        let (successor, fact) = match step {
            Step::Starting => (self.new_worker(0), "started"),
            Step::Soaking => (self.new_worker(0), "ready"),
            Step::Replaced | Step::Draining => (self.new_worker(1), "ready"),
            Step::RollingBack => (self.returning_worker(0), "started"),
        };
        // Its process exists before it has begun.
        let line = format!("{fact}: pid {}", successor.pid);
        self.server.wait_for_log(|other| other.ends_with(&line));
        successor
    }

    /// The worker or successor of the new program in this slot.
    fn new_worker(&self, slot: usize) -> ChildInfo {
        self.other_worker(slot, "two/app")
    }

    /// The worker or successor of the old program that has started in this slot meanwhile.
    fn returning_worker(&self, slot: usize) -> ChildInfo {
        self.other_worker(slot, "one/app")
    }

    fn other_worker(&self, slot: usize, program: &str) -> ChildInfo {
        let program = self.releases.path(program);
        let is_it = |child: &ChildInfo| {
            let is_other = child.slot == slot && *child != self.before[slot];
            is_other && release_of(*child).as_ref() == Some(&program)
        };
        eventually("a process of the program", || {
            self.server.children().into_iter().find(is_it)
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

    /// The workers in slots 2 and 3 are those of before. In each other slot the old program has
    /// replaced the new one, but for this number of slots.
    fn assert_rolled_back(&self, left: usize) {
        let verdict = verdict_after(&self.server, 0);
        let log = self.server.log();
        let cause = "the successor in slot 2 (";
        assert!(
            verdict.contains("refused") && verdict.contains(cause),
            "{log:#?}"
        );
        let is_mixed = verdict.contains("the other workers run the previous program");
        assert_eq!(is_mixed, left > 0, "{verdict}");
        let settled = settled(&self.server);
        assert_eq!(settled[2..], self.before[2..], "{log:#?}");
        let two = self.releases.path("two/app");
        let is_left = |child: &&ChildInfo| release_of(**child).as_ref() == Some(&two);
        assert_eq!(settled.iter().filter(is_left).count(), left, "{log:#?}");
        if left == 0 {
            assert_serves(&self.server, "one");
        }
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
        self.releases.set_behavior("one", "");
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
    for step in FORWARD {
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
    for step in FORWARD {
        // The slot of the first successor, and another one.
        for slot in [usize::from(step == Step::Replaced), 3] {
            let rollout = Rollout::at(step);
            let old = rollout.before[slot];
            signals::send(old.pid, Signal::SIGKILL).expect("it runs");
            rollout.returning_worker(slot);
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
        let successor = rollout.successor(step);
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
        let paused = rollout.successor(step);
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
        match step {
            Step::Starting => rollout.assert_refused(),
            Step::Soaking | Step::Replaced | Step::Draining => rollout.assert_accepted(),
            Step::RollingBack => rollout.assert_rolled_back(0),
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

#[test]
fn a_killed_or_paused_successor_of_a_roll_back_leaves_its_slot_to_the_new_program() {
    for (signal, text) in [
        (Signal::SIGKILL, "was killed by SIGKILL"),
        (Signal::SIGSTOP, "ready_timeout (2s)"),
    ] {
        let rollout = Rollout::at(Step::RollingBack);
        let successor = rollout.returning_worker(0);
        signals::send(successor.pid, signal).expect("it runs");
        rollout.assert_rolled_back(1);
        let pid = format!("(pid {})", successor.pid);
        rollout
            .server
            .wait_for_log(|line| line.contains(&pid) && line.contains(text));
        // If the worker that is left exits, the old program fills its slot.
        let left = rollout.new_worker(0);
        signals::send(left.pid, Signal::SIGKILL).expect("it runs");
        rollout.returning_worker(0);
        settled(&rollout.server);
        assert_serves(&rollout.server, "one");
        rollout.assert_over();
    }
}

#[test]
fn a_killed_worker_gets_the_old_program_back_during_a_roll_back() {
    // The workers of the new program, and one that was never replaced.
    for slot in [0, 1, 3] {
        let rollout = Rollout::at(Step::RollingBack);
        let killed = match slot {
            3 => rollout.before[slot],
            _ => rollout.new_worker(slot),
        };
        signals::send(killed.pid, Signal::SIGKILL).expect("it runs");
        rollout.returning_worker(slot);
        let verdict = verdict_after(&rollout.server, 0);
        assert!(verdict.contains("refused"), "{verdict}");
        let settled = settled(&rollout.server);
        assert_eq!(settled[2], rollout.before[2], "{:#?}", rollout.server.log());
        assert_serves(&rollout.server, "one");
        rollout.assert_over();
    }
}

#[test]
fn a_paused_worker_of_the_new_program_is_replaced_in_a_roll_back() {
    let rollout = Rollout::at(Step::RollingBack);
    for slot in [0, 1] {
        signals::send(rollout.new_worker(slot).pid, Signal::SIGSTOP).expect("it runs");
    }
    rollout.assert_rolled_back(0);
    rollout.assert_over();
}

#[test]
fn a_worker_that_is_killed_or_paused_while_it_drains_is_not_recovered() {
    for signal in [Signal::SIGKILL, Signal::SIGSTOP] {
        let rollout = Rollout::at(Step::Draining);
        let draining = rollout.before[0];
        signals::send(draining.pid, signal).expect("it drains");
        rollout.assert_accepted();
        let log = rollout.server.log();
        let pid = format!("(pid {})", draining.pid);
        let ends = log
            .iter()
            .filter(|line| line.contains(&pid) && line.contains("SIGKILL"));
        assert_eq!(ends.count(), 1, "{log:#?}");
        let recovered = log.iter().any(|line| line.starts_with("recovered"));
        assert!(!recovered, "{log:#?}");
        rollout.assert_over();
    }
}

#[test]
fn a_killed_worker_of_the_new_program_gets_the_old_one_while_its_predecessor_drains() {
    let rollout = Rollout::at(Step::Draining);
    signals::send(rollout.new_worker(0).pid, Signal::SIGKILL).expect("it runs");
    rollout.returning_worker(0);
    rollout.assert_refused();
    rollout.assert_over();
}

/// A worker that pauses before it is replaced is the worker of its slot after a refusal.
#[test]
fn a_worker_of_the_old_program_that_pauses_while_its_successor_starts_serves_again() {
    let rollout = Rollout::at(Step::Starting);
    for slot in [0, 3] {
        signals::send(rollout.before[slot].pid, Signal::SIGSTOP).expect("it runs");
    }
    let verdict = verdict_after(&rollout.server, 0);
    assert!(verdict.contains("ready_timeout"), "{verdict}");
    assert_eq!(settled(&rollout.server), rollout.before);
    for slot in [0, 3] {
        signals::send(rollout.before[slot].pid, Signal::SIGCONT).expect("it is paused");
    }
    rollout.assert_refused();
    rollout.assert_over();
}
