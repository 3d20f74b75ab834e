//! P7, P8, P25: the number and time of recoveries, and what ends the master instead.

use std::time::{Duration, Instant};

use prefork::Error;

use crate::support::{
    Lines, REST, Recorded, cause, fail, kill_child, master, record_hooks, spawned, start, stop,
};

/// Announces that it is ready, and exits.
const SHORT: &str = "ready; exit 0";

fn over_recovery(error: &Error) -> (u64, u32, Option<Duration>) {
    let Error::OverRecovery {
        exits,
        threshold,
        window,
        ..
    } = error
    else {
        panic!("another error: {error}");
    };
    (*exits, *threshold, *window)
}

#[test]
fn p07_exit_number_n_plus_one_ends_the_master() {
    let (prefork, lines) = master(1, SHORT);
    let (prefork, calls) = record_hooks(prefork);
    let error = fail(prefork.recover_threshold(5));
    assert_eq!(
        over_recovery(&error),
        (6, 5, Some(Duration::from_mins(1))),
        "{error}"
    );
    // Five were replaced, the sixth was not.
    let calls = calls.all();
    assert_eq!(spawned(&calls).len(), 1 + 5, "{calls:?}");
    assert_eq!(lines.with("exited with status 0").len(), 6, "{lines:?}");
}

#[test]
fn p07_the_threshold_is_of_the_whole_fleet() {
    let (prefork, lines) = master(3, "ready; [ $slot = 1 ] && exit 1; exec sleep 1000");
    let error = fail(prefork.recover_threshold(3));
    assert_eq!(over_recovery(&error).0, 4);
    let ends = lines.with("exited with status 1");
    assert_eq!(ends.len(), 4, "{lines:?}");
    assert!(ends.iter().all(|line| line.text.starts_with("worker 1 ")));
}

#[test]
fn p07_clean_and_failed_exits_count_the_same() {
    for script in [
        "ready; exit 0",
        "ready; exit 3",
        "ready; kill -KILL $$",
        "exit 0",
    ] {
        let (prefork, _) = master(1, script);
        let error = fail(prefork.recover_threshold(2));
        assert_eq!(over_recovery(&error).0, 3, "{script}");
        assert_eq!(error.exit_code(), 75);
    }
}

#[test]
fn p07_with_a_threshold_of_zero_the_first_exit_ends_the_master() {
    let (prefork, lines) = master(1, SHORT);
    let (prefork, calls) = record_hooks(prefork);
    let error = fail(prefork.recover_threshold(0));
    assert_eq!(over_recovery(&error).0, 1);
    assert_eq!(spawned(&calls.all()).len(), 1);
    assert_eq!(lines.with("exited with status 0").len(), 1, "{lines:?}");
}

#[test]
fn p07_by_default_the_threshold_is_eight_for_a_few_workers() {
    let (prefork, _) = master(1, SHORT);
    assert_eq!(over_recovery(&fail(prefork)).0, 9);
}

/// More exits than the threshold, but never two within the window: the master keeps running.
#[test]
fn p07_exits_outside_the_window_do_not_count() {
    let (prefork, _) = master(1, SHORT);
    let (mut prefork, calls) = record_hooks(prefork);
    prefork = prefork
        .recover_threshold(1)
        .recover_window("1ms")
        .recover_interval("50ms");
    let master = start(prefork);
    // A start, the announcement, then a start and a recovery each.
    calls.wait("ten recoveries", 2 + 10 * 2);
    stop(master);
}

#[test]
fn p07_the_window_may_be_unlimited() {
    let (mut prefork, _) = master(1, SHORT);
    prefork = prefork
        .recover_threshold(1)
        .recover_window("forever")
        .recover_interval("50ms");
    let error = fail(prefork);
    assert_eq!(over_recovery(&error), (2, 1, None), "{error}");
}

#[test]
fn p08_every_recovery_waits_the_interval() {
    const INTERVAL: Duration = Duration::from_millis(300);
    let (mut prefork, _) = master(1, SHORT);
    let times = Recorded::default();
    let note = times.clone();
    prefork = prefork.on_child_spawn(move |_| note.push(Instant::now()));
    prefork = prefork.recover_threshold(3).recover_interval(INTERVAL);
    fail(prefork);
    let times: Vec<Instant> = times.all();
    assert_eq!(times.len(), 4);
    // The time between two starts includes the life of the first child and the interval.
    for pair in times.windows(2) {
        let between = pair[1].duration_since(pair[0]);
        assert!(between >= INTERVAL, "{between:?}");
    }
}

#[test]
fn p08_children_that_die_together_wait_in_parallel() {
    const INTERVAL: Duration = Duration::from_secs(2);
    let (prefork, lines) = master(4, &format!("ready; {REST}"));
    let (mut prefork, calls) = record_hooks(prefork);
    let times = Recorded::default();
    let note = times.clone();
    prefork = prefork.on_child_recover(move |_| note.push(Instant::now()));
    let master = start(prefork.recover_interval(INTERVAL));
    let first = calls.wait("four children, announced", 5);
    spawned(&first).into_iter().for_each(kill_child);
    let times = times.wait("four recoveries", 4);
    stop(master);
    assert_eq!(lines.with("SIGKILL").len(), 4, "{lines:?}");
    // In sequence, the first and the last would be three intervals apart.
    let apart = times[3].duration_since(times[0]);
    assert!(apart < INTERVAL * 3, "{apart:?}");
}

#[test]
fn p08_a_stop_cuts_the_interval_short() {
    let (prefork, lines) = master(1, SHORT);
    let (prefork, calls) = record_hooks(prefork);
    let master = start(prefork.recover_interval("1h"));
    lines.wait_for(|line| line.text.contains("exited with status 0"));
    stop(master);
    assert_eq!(spawned(&calls.all()).len(), 1);
}

/// Measures the time from an exit to the next start, both on the master's thread. On a machine
/// under load, the thread may lose the CPU in between, but not every time.
#[test]
fn p08_by_default_there_is_no_interval_and_a_healthy_child_is_replaced_at_once() {
    let (mut prefork, _) = master(1, SHORT);
    let times = Recorded::default();
    let (exited, started) = (times.clone(), times.clone());
    prefork = prefork
        .recover_threshold(1000)
        .logger(move |line| {
            if line.to_string().contains("exited with") {
                exited.push(("exited", Instant::now()));
            }
        })
        .on_child_spawn(move |_| started.push(("started", Instant::now())));
    let master = start(prefork);
    let times = times.wait("fifty recoveries", 101);
    stop(master);
    let pairs = times[1..101].chunks(2).map(|pair| {
        assert_eq!([pair[0].0, pair[1].0], ["exited", "started"]);
        pair[1].1.duration_since(pair[0].1)
    });
    let shortest = pairs.min().expect("fifty pairs");
    // If a recovery is delayed, the shortest delay is 100 ms.
    assert!(shortest < Duration::from_millis(50), "{shortest:?}");
}

#[test]
fn p25_a_producer_that_refuses_at_a_recovery_ends_the_master() {
    let (prefork, _) = master(2, REST);
    let (mut prefork, calls) = record_hooks(prefork);
    let mut starts = 0;
    prefork = prefork.child_producer(move |child| {
        starts += 1;
        if starts > 2 {
            return Err("no third one");
        }
        child.program("/bin/sleep").arg("1000");
        Ok(())
    });
    let master = start(prefork);
    let first = spawned(&calls.wait("both children, announced", 3));
    kill_child(first[0]);
    let error = master.wait().expect_err("the producer refuses");
    assert!(
        matches!(error, Error::Producer { slot: 0, .. }),
        "{error:?}"
    );
    assert_eq!(cause(&error).as_deref(), Some("no third one"));
    assert_eq!(spawned(&calls.all()), first, "the master must not retry");
    crate::support::assert_gone(&first);
}
