//! A rollout replaces all workers, or none.

mod bad_programs;
mod interruptions;
mod load;
mod releases;

use std::fs::{self, File};
use std::io::IsTerminal;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use prefork::{Prefork, RolloutStage, RolloutVerdict};
use prefork_testkit::{Behavior, ChildInfo, RunningServer, ScriptedChildren, Signal, eventually};
use prefork_tests::{proc, signals};
use releases::{
    Releases, assert_next_is_accepted, assert_refused, assert_serves, copy, release_of, settled,
    verdict_after, verdicts,
};

const TWO_LISTENERS: &str = env!("CARGO_BIN_EXE_two_listeners");
const RAW_STD: &str = env!("CARGO_BIN_EXE_raw_std");

#[test]
fn a_rollout_replaces_every_worker_and_recovery_starts_the_new_program() {
    let releases = Releases::new();
    let mut server = releases.server().start();
    let (before, fds) = (settled(&server), proc::fds(server.master_pid()).len());
    let two = releases.add("two", "");
    let verdict = releases.roll_out(&server, "two");
    assert!(verdict.contains("replaced 4 workers"), "{verdict}");
    let after = settled(&server);
    for (old, new) in before.iter().zip(&after) {
        assert_ne!(old.pid, new.pid);
        let line = format!(
            "worker {} (pid {}) replaces pid {} (rollout)",
            new.slot, new.pid, old.pid
        );
        server.wait_for_log(|other| other.ends_with(&line));
    }
    assert_serves(&server, "two");
    eventually("the descriptors of before", || {
        (proc::fds(server.master_pid()).len() == fds).then_some(())
    });
    let recovered = server.wait_for_replacement(server.kill_child(2));
    eventually("the new program", || {
        (release_of(recovered)? == two).then_some(())
    });
    let log = server.log();
    let hooks = log.iter().filter(|line| line.starts_with("recovered slot"));
    assert_eq!(hooks.count(), 1, "a rollout is no recovery: {log:#?}");
    let path = releases.path("current/app");
    let begins = format!("rolling out {} to 4 workers", path.display());
    assert!(log.iter().any(|line| line.ends_with(&begins)), "{log:#?}");
    let sender = format!(
        "rollout requested by SIGHUP from pid {}",
        std::process::id()
    );
    assert!(log.iter().any(|line| line.ends_with(&sender)), "{log:#?}");
    assert_eq!(server.stop().code(), Some(0));
    assert_eq!(server.processes(), []);
}

#[test]
fn recovery_starts_the_accepted_program_although_the_link_names_another_one() {
    let releases = Releases::new();
    let server = releases.server().start();
    releases.add("two", "");
    releases.roll_out(&server, "two");
    settled(&server);
    releases.switch("one");
    server.wait_for_replacement(server.kill_child(0));
    settled(&server);
    assert_serves(&server, "two");
    // A verdict names its file, not the link.
    let refused = releases.roll_out(&server, "no such release");
    let two = format!(
        "; the workers run the previous program, {}",
        releases.path("two/app").display()
    );
    assert!(refused.ends_with(&two), "{refused}");
    releases.switch("one");
    // Its file is gone, too.
    fs::remove_file(releases.path("two/app")).expect("a file");
    server.wait_for_replacement(server.kill_child(1));
    settled(&server);
    assert_serves(&server, "two");
}

#[test]
fn workers_that_were_replaced_get_the_previous_program_back() {
    let releases = Releases::new();
    let server = releases
        .server()
        .env("PREFORK_ROLLOUT_PARALLEL", "1")
        .env("PREFORK_ROLLOUT_SOAK", "400ms")
        .start();
    let before = settled(&server);
    // It exits after it has replaced the first worker, and before the last one is replaced.
    releases.add("late", "lives for 900 ms");
    let verdict = releases.roll_out(&server, "late");
    for text in ["stage serve", "in slot 0", "exited with status 9"] {
        assert!(verdict.contains(text), "{text}: {:#?}", server.log());
    }
    let one = releases.path("one/app");
    eventually("the previous program in every slot", || {
        let children = server.children();
        let is_previous = |child: &ChildInfo| release_of(*child).as_ref() == Some(&one);
        (children.len() == 4 && children.iter().all(is_previous)).then_some(())
    });
    assert_eq!(
        settled(&server)[3],
        before[3],
        "its worker was never replaced"
    );
    assert_serves(&server, "one");
    assert_next_is_accepted(&server, &releases);
}

#[test]
fn a_rollout_that_takes_too_long_is_refused() {
    let releases = Releases::new();
    let server = releases
        .server()
        .env("PREFORK_ROLLOUT_TIMEOUT", "300ms")
        .start();
    releases.add("slow", "never accepts");
    let texts = ["stage timeout", "rollout_timeout (300ms)"];
    assert_refused(&server, &releases, "slow", &texts);
}

#[test]
fn many_requests_are_few_rollouts() {
    let releases = Releases::new();
    let server = releases.server().start();
    releases.add("two", "");
    releases.switch("two");
    for _ in 0..50 {
        signals::deliver(server.master_pid(), Signal::SIGHUP);
    }
    verdict_after(&server, 0);
    eventually("no rollout in progress", || {
        let began = server
            .log()
            .iter()
            .filter(|line| line.contains("rolling out"))
            .count();
        (verdicts(&server).len() == began).then_some(())
    });
    let verdicts = verdicts(&server);
    assert!(
        verdicts.iter().all(|line| line.contains("accepted")),
        "{verdicts:#?}"
    );
    assert!(verdicts.len() < 20, "{verdicts:#?}");
    settled(&server);
    assert_serves(&server, "two");
    // One more rollout may have begun meanwhile. Its verdict is not that of the next request.
    let good = releases.add("good", "");
    releases.roll_out(&server, "good");
    eventually("the next release in every slot", || {
        let runs_it = |child: &ChildInfo| release_of(*child).as_ref() == Some(&good);
        settled(&server).iter().all(runs_it).then_some(())
    });
    // The master and four workers.
    eventually("no other process", || {
        (server.processes().len() == 5).then_some(())
    });
}

#[test]
fn a_request_during_the_start_is_a_rollout_after_it() {
    let releases = Releases::new();
    let server = releases.server().start_unready();
    server.signal(Signal::SIGHUP);
    assert!(
        verdict_after(&server, 0).contains("accepted"),
        "{:#?}",
        server.log()
    );
    settled(&server);
    assert_serves(&server, "one");
}

#[test]
fn a_request_during_a_recovery_replaces_every_worker() {
    let releases = Releases::new();
    let server = releases
        .server()
        .env("PREFORK_RECOVER_INTERVAL", "300ms")
        .start();
    let before = settled(&server);
    server.kill_child(1);
    releases.add("two", "");
    assert!(releases.roll_out(&server, "two").contains("accepted"));
    let after = settled(&server);
    assert!(before.iter().all(|old| !after.contains(old)), "{after:?}");
    assert_serves(&server, "two");
}

#[test]
fn a_stop_ends_a_rollout() {
    let releases = Releases::new();
    let mut server = releases.server().env("PREFORK_ROLLOUT_SOAK", "1m").start();
    releases.add("two", "");
    releases.switch("two");
    server.signal(Signal::SIGHUP);
    server.wait_for_log(|line| line.contains("rolling out"));
    assert_eq!(server.stop().code(), Some(0));
    let log = server.final_log();
    let ended = log
        .iter()
        .filter(|line| line.contains("rollout ended by a stop"));
    assert_eq!(ended.count(), 1, "{log:#?}");
    assert_eq!(server.processes(), []);
}

#[test]
fn a_request_during_a_stop_changes_nothing() {
    let releases = Releases::new();
    let mut server = releases.server().start();
    server.signal(Signal::SIGTERM);
    server.signal(Signal::SIGHUP);
    assert_eq!(server.wait().code(), Some(0));
    let log = server.final_log();
    assert!(
        !log.iter().any(|line| line.contains("rolling out")),
        "{log:#?}"
    );
}

/// Starts a rollout that soaks for long; returns the successor in slot 0.
fn soaking(server: &RunningServer, releases: &Releases) -> ChildInfo {
    let two = releases.add("two", "");
    releases.switch("two");
    server.signal(Signal::SIGHUP);
    eventually("a successor", || {
        let mut children = server.children().into_iter();
        children.find(|child| release_of(*child).as_deref() == Some(Path::new(&two)))
    })
}

#[test]
fn a_killed_successor_refuses_the_rollout() {
    let releases = Releases::new();
    let server = releases
        .server()
        .env("PREFORK_ROLLOUT_CANARY", "1m")
        .start();
    let before = settled(&server);
    let successor = soaking(&server, &releases);
    signals::send(successor.pid, Signal::SIGKILL).expect("it runs");
    let verdict = verdict_after(&server, 0);
    let text = format!(
        "the successor in slot 0 (pid {}) was killed by SIGKILL",
        successor.pid
    );
    assert!(
        verdict.contains("refused") && verdict.contains(&text),
        "{verdict}"
    );
    assert_eq!(settled(&server), before);
    assert_serves(&server, "one");
}

#[test]
fn a_killed_worker_is_replaced_by_the_old_program_during_a_rollout() {
    let releases = Releases::new();
    let server = releases
        .server()
        .env("PREFORK_ROLLOUT_CANARY", "2s")
        .start();
    soaking(&server, &releases);
    let old = settled_old(&server, &releases);
    signals::send(old.pid, Signal::SIGKILL).expect("it runs");
    let one = releases.path("one/app");
    eventually("a replacement of the old program", || {
        let mut children = server.children().into_iter();
        children.find(|child| {
            child.slot == old.slot
                && child.pid != old.pid
                && release_of(*child).as_ref() == Some(&one)
        })
    });
    assert!(
        verdict_after(&server, 0).contains("accepted"),
        "{:#?}",
        server.log()
    );
    settled(&server);
    assert_serves(&server, "two");
}

/// The worker of the old program in the last slot.
fn settled_old(server: &RunningServer, releases: &Releases) -> ChildInfo {
    let one = releases.path("one/app");
    let children = server.children().into_iter();
    let mut old =
        children.filter(|child| child.slot == 3 && release_of(*child).as_ref() == Some(&one));
    old.next().expect("it was not replaced")
}

#[test]
fn nothing_outlives_a_master_that_is_killed_during_a_rollout() {
    let releases = Releases::new();
    let mut server = releases
        .server()
        .env("PREFORK_ROLLOUT_CANARY", "1m")
        .start();
    soaking(&server, &releases);
    server.signal(Signal::SIGKILL);
    server.wait();
    eventually("the end of all workers", || {
        server.processes().is_empty().then_some(())
    });
}

#[test]
fn a_handle_returns_the_verdict_to_a_thread_and_to_a_task() {
    let children = ScriptedChildren::scripted(|attempt| match attempt.nth {
        0 | 1 => Behavior::Live,
        _ => Behavior::Exit(7),
    });
    let prefork = Prefork::new().workers(2).rollout_soak("0s");
    let prefork = prefork.child_producer(children.producer());
    let master = prefork.start().expect("the master starts");
    let verdict = master.reload().wait();
    let is_accepted = matches!(verdict, RolloutVerdict::Accepted { replaced: 2, .. });
    assert!(is_accepted, "{verdict}");
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let verdict = runtime.expect("descriptors").block_on(master.reload());
    let RolloutVerdict::Refused(refusal) = verdict else {
        panic!("{verdict}");
    };
    assert_eq!(refusal.stage(), RolloutStage::Ready, "{refusal}");
    assert_eq!(
        (refusal.slot(), refusal.cause()),
        (Some(0), "exited with status 7")
    );
    assert_eq!((refusal.rolled_back(), refusal.left()), (0, 0));
    master.stop();
    assert_eq!(master.reload().wait(), RolloutVerdict::Stopped);
    master.wait().expect("a requested stop");
}

#[test]
fn an_error_of_child_producer_refuses_the_rollout_and_changes_no_worker() {
    let mut starts = 0;
    let pids = Arc::new(Mutex::new(Vec::new()));
    let started = Arc::clone(&pids);
    let prefork = Prefork::new()
        .workers(2)
        .rollout_soak("0s")
        .on_child_spawn(move |child| started.lock().expect("no panic").push(child.pid()))
        .child_producer(move |command| {
            starts += 1;
            if starts > 2 {
                return Err("no such release");
            }
            command.program("/bin/sleep").arg("1000");
            Ok(())
        });
    let master = prefork.start().expect("the master starts");
    for _ in 0..2 {
        let RolloutVerdict::Refused(refusal) = master.reload().wait() else {
            panic!("child_producer fails");
        };
        assert_eq!(refusal.stage(), RolloutStage::Start, "{refusal}");
        let expected = "could not be started: no such release";
        assert_eq!((refusal.slot(), refusal.cause()), (Some(0), expected));
    }
    let pids = pids.lock().expect("no panic").clone();
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().all(|&pid| proc::is_alive(pid)));
    master.stop();
    master.wait().expect("a requested stop");
}

#[test]
fn a_verdict_has_the_last_output_of_a_program_without_prefork() {
    let mut starts = 0;
    let prefork = Prefork::new().workers(2).rollout_soak("0s");
    let prefork = prefork.child_producer(move |command| {
        starts += 1;
        command.program("/bin/sh").arg("-c").arg(match starts {
            1 | 2 => "exec sleep 1000",
            _ => "printf 'one\\ntwo\\t' >&2; exit 7",
        });
        Ok::<_, std::convert::Infallible>(())
    });
    let master = prefork.start().expect("the master starts");
    let RolloutVerdict::Refused(refusal) = master.reload().wait() else {
        panic!("the program exits with status 7");
    };
    assert_eq!(refusal.cause(), "exited with status 7");
    // A terminal stays the stderr of successors.
    if !std::io::stderr().is_terminal() {
        assert_eq!(refusal.stderr_tail(), "one\ntwo");
        let line = "; its last line on stderr: two; ";
        assert!(refusal.to_string().contains(line), "{refusal}");
    }
    master.stop();
    master.wait().expect("a requested stop");
}

/// Opens a terminal: its end in the emulator, and its end in programs.
///
/// No other program inherits the first one, because the terminal hangs up at its last close.
fn terminal() -> nix::Result<(PtyMaster, File)> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let terminal = posix_openpt(flags)?;
    grantpt(&terminal)?;
    unlockpt(&terminal)?;
    let path = ptsname_r(&terminal)?;
    let mut options = File::options();
    let options = options
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NOCTTY.bits());
    let slave = options.open(path).expect("the terminal exists");
    Ok((terminal, slave))
}

#[test]
fn a_master_that_has_lost_its_terminal_stops_at_sighup() {
    let releases = Releases::new();
    let (terminal, slave) = terminal().expect("a terminal");
    let mut server = releases
        .server()
        .stdin(slave)
        .wrapper(["setsid", "--ctty", "--wait"])
        .start();
    server.signal(Signal::SIGHUP);
    assert!(
        verdict_after(&server, 0).contains("accepted"),
        "{:#?}",
        server.log()
    );
    drop(terminal);
    server.wait_for_log(|line| line.contains("SIGHUP from the terminal: stopping"));
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_refused_rollout_does_not_touch_the_standby() {
    let releases = Releases::new();
    let server = releases.server().env("PREFORK_STANDBY", "1").start();
    let before = server.wait_for_children(5);
    let raw = releases.path("raw");
    fs::create_dir(&raw).expect("a new directory");
    copy(Path::new(RAW_STD), &raw.join("app"));
    releases.add("bad", "fails");
    for (name, text) in [
        ("bad", "main returned an error"),
        (
            "raw",
            "cannot wait as a standby (standby is set): restart needed",
        ),
    ] {
        let verdict = releases.roll_out(&server, name);
        assert!(verdict.contains(text), "{:#?}", server.log());
    }
    eventually("the workers of before", || {
        (server.children() == before).then_some(())
    });
    // It serves the accepted program.
    server.kill_child(0);
    eventually("the standby in the slot", || {
        (server.child(0)?.pid == before[4].pid).then_some(())
    });
    assert_serves(&server, "one");
}
