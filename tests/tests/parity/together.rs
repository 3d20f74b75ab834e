//! P7, P8, P12, P13, P25 with two children that die together: before the master is ready, and after
//! it.

use std::time::{Duration, Instant};

use prefork::{Error, Handle, Prefork};
use prefork_testkit::eventually;
use prefork_tests::proc;

use crate::support::{
    Facts, REST, Told, assert_gone, cause, kill_child, listen_in, master, spawned, start, stop,
};

/// The time when the first two children die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// While `on_child_spawn` of the second one runs.
    Early,
    /// While `on_master_ready` runs.
    Meanwhile,
    /// Afterwards.
    Late,
}

const DEATHS: [Death; 3] = [Death::Early, Death::Meanwhile, Death::Late];

/// Kills both and waits until both are dead. The master has not seen that yet, because this runs on
/// its thread.
fn kill_both(pids: &[i32]) {
    pids.iter().copied().for_each(kill_child);
    eventually("two dead children", || {
        pids.iter().all(|pid| !proc::is_alive(*pid)).then_some(())
    });
}

/// Two workers. Their first children die together, the others live.
fn doomed(prefork: &mut Prefork, death: Death) -> Facts<Told> {
    let facts = listen_in(prefork);
    let (spawns, ready) = (facts.clone(), facts.clone());
    prefork.on_child_spawn(move |child| {
        spawns.push(Told::Spawned(child.pid()));
        let all = spawned(&spawns.all());
        if death == Death::Early && all.len() == 2 {
            kill_both(&all);
        }
    });
    prefork.on_master_ready(move |master| {
        if death == Death::Meanwhile {
            kill_both(master.pids());
        }
        ready.push(Told::Ready(master.pids().to_vec()));
    });
    facts
}

fn begin(prefork: &mut Prefork, death: Death, facts: &Facts<Told>) -> Handle {
    let master = start(prefork);
    let first = spawned(&facts.wait("two children", 2));
    if death == Death::Late {
        facts.wait("two children, announced", 3);
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
    for death in DEATHS {
        for (threshold, starts) in [(0, 2), (1, 3)] {
            let (mut prefork, _) = master(2, REST);
            let facts = doomed(prefork.recover_threshold(threshold), death);
            let master = begin(&mut prefork, death, &facts);
            let error = master.wait().expect_err("too many exits");
            assert_eq!(exits(&error), u64::from(threshold) + 1, "{death:?}");
            let all = facts.all();
            assert_eq!(spawned(&all).len(), starts, "{death:?} {all:?}");
            assert_gone(&spawned(&all));
        }
    }
}

#[test]
fn p12_p13_children_that_die_together_are_recovered_after_the_announcement_each_with_its_hooks() {
    for death in DEATHS {
        let (mut prefork, _) = master(2, REST);
        let facts = doomed(prefork.recover_threshold(2), death);
        let master = begin(&mut prefork, death, &facts);
        let all = facts.wait("two recoveries", 7);
        stop(master);
        let [
            Told::Spawned(one),
            Told::Spawned(two),
            Told::Ready(ready),
            Told::Spawned(three),
            Told::Recovered(old_one, new_one),
            Told::Spawned(four),
            Told::Recovered(old_two, new_two),
        ] = &all[..]
        else {
            panic!("{death:?}: another order: {all:?}");
        };
        assert_eq!(*ready, [*one, *two], "{death:?}");
        assert_eq!((new_one, new_two), (three, four), "{death:?}");
        let mut old = [*old_one, *old_two];
        let mut first = [*one, *two];
        old.sort_unstable();
        first.sort_unstable();
        assert_eq!(old, first, "{death:?}");
    }
}

#[test]
fn p08_children_that_die_together_wait_for_the_announcement_and_the_interval() {
    const INTERVAL: Duration = Duration::from_millis(400);
    for death in DEATHS {
        let (mut prefork, _) = master(2, REST);
        let facts = doomed(&mut prefork, death);
        let times = Facts::default();
        let note = times.clone();
        prefork.on_child_recover(move |_| note.push(Instant::now()));
        prefork.recover_interval(INTERVAL);
        let began = Instant::now();
        let master = begin(&mut prefork, death, &facts);
        let times = times.wait("two recoveries", 2);
        stop(master);
        for time in times {
            assert!(time.duration_since(began) >= INTERVAL, "{death:?}");
        }
    }
}

#[test]
fn p25_a_producer_that_refuses_one_of_two_replacements_ends_the_master() {
    for death in DEATHS {
        let (mut prefork, _) = master(2, REST);
        let facts = doomed(&mut prefork, death);
        let mut starts = 0;
        prefork.child_producer(move |child| {
            starts += 1;
            if starts > 2 {
                return Err("no third one");
            }
            child.program("/bin/sleep").arg("1000");
            Ok(())
        });
        let master = begin(&mut prefork, death, &facts);
        let error = master.wait().expect_err("the producer refuses");
        assert!(
            matches!(error, Error::Producer { .. }),
            "{death:?}: {error:?}"
        );
        assert_eq!(cause(&error).as_deref(), Some("no third one"));
        let all = facts.all();
        assert_eq!(
            all.len(),
            3,
            "{death:?}: two starts and the announcement: {all:?}"
        );
        assert_gone(&spawned(&all));
    }
}
