//! P7, P8, P12, P13, P25 with two children that die together: before the master is ready, and after
//! it.

use std::time::{Duration, Instant};

use prefork::{Error, Handle, Prefork};
use prefork_testkit::eventually;
use prefork_tests::proc;

use crate::support::{
    HookCall, REST, Recorded, assert_gone, cause, kill_child, master, record_hooks, spawned, start,
    stop,
};

/// The time when the first two children die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KillTime {
    /// While `on_child_spawn` of the second one runs.
    DuringSpawn,
    /// While `on_master_ready` runs.
    DuringReady,
    /// Afterwards.
    AfterReady,
}

const KILL_TIMES: [KillTime; 3] = [
    KillTime::DuringSpawn,
    KillTime::DuringReady,
    KillTime::AfterReady,
];

/// Kills both and waits until both are dead. The master has not seen that yet, because this runs on
/// its thread.
fn kill_both(pids: &[i32]) {
    pids.iter().copied().for_each(kill_child);
    eventually("the end of two children", || {
        pids.iter().all(|pid| !proc::is_alive(*pid)).then_some(())
    });
}

/// Two workers. Their first children die together, the others live.
fn killed_together(prefork: Prefork, kill_time: KillTime) -> (Prefork, Recorded<HookCall>) {
    let (mut prefork, calls) = record_hooks(prefork);
    let (spawns, ready) = (calls.clone(), calls.clone());
    prefork = prefork.on_child_spawn(move |child| {
        spawns.push(HookCall::Spawned(child.pid()));
        let all = spawned(&spawns.all());
        if kill_time == KillTime::DuringSpawn && all.len() == 2 {
            kill_both(&all);
        }
    });
    prefork = prefork.on_master_ready(move |master| {
        if kill_time == KillTime::DuringReady {
            kill_both(master.pids());
        }
        ready.push(HookCall::Ready(master.pids().to_vec()));
    });
    (prefork, calls)
}

fn begin(prefork: Prefork, kill_time: KillTime, calls: &Recorded<HookCall>) -> Handle {
    let master = start(prefork);
    let first = spawned(&calls.wait("two children", 2));
    if kill_time == KillTime::AfterReady {
        calls.wait("two children, announced", 3);
        first[..2].iter().copied().for_each(kill_child);
    }
    master
}

fn exits(error: &Error) -> u64 {
    match error {
        Error::OverRecovery { exits, .. } => *exits,
        other => panic!("another error: {other}"),
    }
}

#[test]
fn p07_children_that_die_together_are_counted_one_after_the_other() {
    for kill_time in KILL_TIMES {
        for (threshold, starts) in [(0, 2), (1, 3)] {
            let (prefork, _) = master(2, REST);
            let (prefork, calls) = killed_together(prefork.recover_threshold(threshold), kill_time);
            let master = begin(prefork, kill_time, &calls);
            let error = master.wait().expect_err("too many exits");
            assert_eq!(exits(&error), u64::from(threshold) + 1, "{kill_time:?}");
            let all = calls.all();
            assert_eq!(spawned(&all).len(), starts, "{kill_time:?} {all:?}");
            assert_gone(&spawned(&all));
        }
    }
}

#[test]
fn p12_p13_children_that_die_together_are_recovered_after_the_announcement_each_with_its_hooks() {
    for kill_time in KILL_TIMES {
        let (prefork, _) = master(2, REST);
        let (prefork, calls) = killed_together(prefork.recover_threshold(2), kill_time);
        let master = begin(prefork, kill_time, &calls);
        let all = calls.wait("two recoveries", 7);
        stop(master);
        let [
            HookCall::Spawned(one),
            HookCall::Spawned(two),
            HookCall::Ready(ready),
            HookCall::Spawned(three),
            HookCall::Recovered(old_one, new_one),
            HookCall::Spawned(four),
            HookCall::Recovered(old_two, new_two),
        ] = &all[..]
        else {
            panic!("{kill_time:?}: another order: {all:?}");
        };
        assert_eq!(*ready, [*one, *two], "{kill_time:?}");
        assert_eq!((new_one, new_two), (three, four), "{kill_time:?}");
        let mut old = [*old_one, *old_two];
        let mut first = [*one, *two];
        old.sort_unstable();
        first.sort_unstable();
        assert_eq!(old, first, "{kill_time:?}");
    }
}

#[test]
fn p08_children_that_die_together_wait_for_the_announcement_and_the_interval() {
    const INTERVAL: Duration = Duration::from_millis(400);
    for kill_time in KILL_TIMES {
        let (prefork, _) = master(2, REST);
        let (mut prefork, calls) = killed_together(prefork, kill_time);
        let times = Recorded::default();
        let note = times.clone();
        prefork = prefork.on_child_recover(move |_| note.push(Instant::now()));
        prefork = prefork.recover_interval(INTERVAL);
        let began = Instant::now();
        let master = begin(prefork, kill_time, &calls);
        let times = times.wait("two recoveries", 2);
        stop(master);
        for time in times {
            assert!(time.duration_since(began) >= INTERVAL, "{kill_time:?}");
        }
    }
}

#[test]
fn p25_a_producer_that_refuses_one_of_two_replacements_ends_the_master() {
    for kill_time in KILL_TIMES {
        let (prefork, _) = master(2, REST);
        let (mut prefork, calls) = killed_together(prefork, kill_time);
        let mut starts = 0;
        prefork = prefork.child_producer(move |child| {
            starts += 1;
            if starts > 2 {
                return Err("no third one");
            }
            child.program("/bin/sleep").arg("1000");
            Ok(())
        });
        let master = begin(prefork, kill_time, &calls);
        let error = master.wait().expect_err("the producer refuses");
        assert!(
            matches!(error, Error::Producer { .. }),
            "{kill_time:?}: {error:?}"
        );
        assert_eq!(cause(&error).as_deref(), Some("no third one"));
        let all = calls.all();
        assert_eq!(
            all.len(),
            3,
            "{kill_time:?}: two starts and the announcement: {all:?}"
        );
        assert_gone(&spawned(&all));
    }
}
