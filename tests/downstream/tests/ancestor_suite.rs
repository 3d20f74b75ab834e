//! The behavior of fasthttp's prefork, tested with the public testkit: two workers, children that
//! exit at once, and a budget of one recovery.

use std::error::Error as StdError;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prefork::{ChildCommand, Error, Handle, Prefork};
use prefork_testkit::{Behavior, MemoryLog, ScriptedChildren, reserve_addr};

/// Two workers, one allowed recovery, no line on stderr.
fn with_one_recovery(children: &ScriptedChildren) -> Prefork {
    quiet(children).recover_threshold(1)
}

/// Two workers, and no line on stderr.
fn quiet(children: &ScriptedChildren) -> Prefork {
    Prefork::new()
        .workers(2)
        .logger(MemoryLog::new().logger())
        .child_producer(children.producer())
}

/// The error of the master, from its start or from its end.
fn end(prefork: Prefork) -> Error {
    let ended = prefork.start().and_then(Handle::wait);
    ended.expect_err("the master ends with an error")
}

/// The error with all of its sources.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// A call of a hook, with its arguments.
#[derive(Clone, Debug, PartialEq)]
enum Call {
    Spawned(i32),
    MasterReady(Vec<i32>),
    Recovered { old: i32, new: i32 },
}

#[test]
fn this_process_is_no_child() {
    assert!(!prefork::is_child());
}

#[test]
fn every_child_is_announced_and_one_is_recovered_before_the_master_gives_up() {
    let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
    let note = || {
        let calls = Arc::clone(&calls);
        move |call| calls.lock().expect("no hook panics").push(call)
    };
    let (spawned, ready, recovered) = (note(), note(), note());
    let children = ScriptedChildren::new(Behavior::Noop);
    let prefork = with_one_recovery(&children)
        .reuseport(true)
        .listen(reserve_addr().to_string())
        .on_child_spawn(move |child| spawned(Call::Spawned(child.pid())))
        .on_master_ready(move |fleet| ready(Call::MasterReady(fleet.pids().to_vec())))
        .on_child_recover(move |child| {
            recovered(Call::Recovered {
                old: child.old_pid(),
                new: child.new_pid(),
            });
        });
    let error = end(prefork);
    assert!(matches!(error, Error::OverRecovery { .. }), "{error:?}");
    let calls = calls.lock().expect("no hook panics").clone();
    let [
        Call::Spawned(first),
        Call::Spawned(second),
        Call::MasterReady(pids),
        Call::Spawned(third),
        Call::Recovered { old, new },
    ] = &calls[..]
    else {
        panic!("expected two starts, one announcement and one recovery: {calls:?}");
    };
    assert_eq!(*pids, [*first, *second]);
    assert_eq!(new, third);
    assert!(pids.contains(old) && old != new, "{calls:?}");
}

#[test]
fn a_hook_that_refuses_the_first_child_ends_the_master() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let children = ScriptedChildren::new(Behavior::Noop);
    let prefork = with_one_recovery(&children).on_child_spawn(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Err(io::Error::other("initial spawn rejected"))
    });
    let error = end(prefork);
    assert!(
        chain(&error).contains("initial spawn rejected"),
        "{error:?}"
    );
    assert!(calls.load(Ordering::SeqCst) >= 1);
    assert!(children.alive().is_empty());
}

#[test]
fn a_hook_that_refuses_the_master_ends_it() {
    let children = ScriptedChildren::new(Behavior::Live);
    let prefork = quiet(&children).on_master_ready(|_| Err(io::Error::other("ready rejected")));
    let error = end(prefork);
    assert!(chain(&error).contains("ready rejected"), "{error:?}");
    assert!(children.alive().is_empty());
}

#[test]
fn a_replacement_that_its_hook_refuses_is_not_announced_as_a_recovery() {
    let spawns = Arc::new(AtomicUsize::new(0));
    let recoveries = Arc::new(AtomicUsize::new(0));
    let (spawned, recovered) = (Arc::clone(&spawns), Arc::clone(&recoveries));
    let children = ScriptedChildren::new(Behavior::Noop);
    let prefork = with_one_recovery(&children)
        .on_child_spawn(move |child| {
            assert!(child.pid() > 0);
            if spawned.fetch_add(1, Ordering::SeqCst) < 2 {
                Ok(())
            } else {
                Err(io::Error::other("spawn failed"))
            }
        })
        .on_child_recover(move |_| {
            recovered.fetch_add(1, Ordering::SeqCst);
        });
    let error = end(prefork);
    assert!(chain(&error).contains("spawn failed"), "{error:?}");
    assert_eq!(recoveries.load(Ordering::SeqCst), 0);
}

#[test]
fn a_panic_of_a_hook_is_an_error_that_names_the_hook() {
    let children = ScriptedChildren::new(Behavior::Noop);
    let prefork = quiet(&children).on_child_spawn(|_| panic!("user code blew up"));
    let text = chain(&end(prefork));
    assert!(text.contains("user code blew up"), "{text}");
    assert!(text.contains("on_child_spawn"), "{text}");
}

#[test]
fn a_recovery_waits_its_interval_before_the_master_gives_up() {
    let interval = Duration::from_millis(300);
    let children = ScriptedChildren::new(Behavior::Noop);
    let prefork = with_one_recovery(&children).recover_interval(interval);
    let began = Instant::now();
    let error = end(prefork);
    assert!(matches!(error, Error::OverRecovery { .. }), "{error:?}");
    assert!(began.elapsed() >= interval);
    assert_eq!(
        children.starts(),
        3,
        "two first children and one replacement"
    );
}

#[test]
fn with_a_threshold_of_zero_the_master_is_announced_before_it_gives_up() {
    let announcements = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&announcements);
    let children = ScriptedChildren::new(Behavior::Noop);
    let prefork = quiet(&children)
        .recover_threshold(0)
        .on_master_ready(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
        });
    let error = end(prefork);
    assert!(
        matches!(error, Error::OverRecovery { exits: 1, .. }),
        "{error:?}"
    );
    assert_eq!(announcements.load(Ordering::SeqCst), 1);
    assert_eq!(children.starts(), 2);
}

#[test]
fn children_that_die_after_the_announcement_count_as_those_before_it() {
    let children = ScriptedChildren::new(Behavior::Live);
    let log = MemoryLog::new();
    let prefork = with_one_recovery(&children).logger(log.logger());
    let master = prefork.start().expect("the master starts");
    log.wait_for(|line| line.text.contains("running with 2 workers"));
    children.kill_child(0);
    children.kill_child(1);
    // The master counted both exits. It replaced one child, and the replacement ended with it.
    let error = master.wait().expect_err("the recovery budget is used up");
    assert!(
        matches!(error, Error::OverRecovery { exits: 2, .. }),
        "{error:?}"
    );
    assert_eq!(children.starts(), 3);
    assert!(children.alive().is_empty());
}

#[test]
fn a_bad_address_is_an_error_before_any_child() {
    let children = ScriptedChildren::new(Behavior::Noop);
    let prefork = quiet(&children).listen("definitely not an address");
    let error = prefork.start().expect_err("the address is invalid");
    assert!(
        error.to_string().contains("definitely not an address"),
        "{error}"
    );
    assert_eq!(children.starts(), 0);
}

#[test]
fn a_listener_has_the_asked_address_in_both_modes() {
    for reuseport in [false, true] {
        let reserved = reserve_addr();
        let children = ScriptedChildren::new(Behavior::Live);
        let prefork = quiet(&children)
            .listen(reserved.to_string())
            .reuseport(reuseport);
        let master = prefork.start().expect("the master starts");
        assert_eq!(
            master.listeners()[0].address().to_string(),
            reserved.to_string()
        );
        master.stop();
        master.wait().expect("the master stops without an error");
    }
}

#[test]
fn an_error_of_the_producer_is_the_cause_of_the_end() {
    let prefork = Prefork::new()
        .workers(1)
        .logger(MemoryLog::new().logger())
        .child_producer(|_: &mut ChildCommand| Err(io::Error::other("boom")));
    let error = end(prefork);
    assert!(chain(&error).contains("boom"), "{error:?}");
}
