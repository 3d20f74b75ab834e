//! Programs that cannot be started, and limits of the machine.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use nix::errno::Errno;
use nix::libc;
use prefork::Error;
use prefork_testkit::{Server, eventually};
use prefork_tests::proc;

use crate::support::{
    REST, assert_gone, fail, folder, kill_child, master, record_hooks, script, spawned, start, stop,
};

const SHELL: &str = env!("CARGO_BIN_EXE_parity_shell");

/// Makes the program impossible to execute, for this reason.
fn break_program(program: &Path, reason: Errno) {
    let _ = fs::remove_file(program);
    let mode = match reason {
        Errno::ENOENT => return,
        Errno::EACCES => 0o600,
        _ => 0o700,
    };
    // A rename: no process executes a file during the write.
    let draft = program.with_extension("draft");
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&draft)
        .expect("the folder is writable");
    file.write_all(b"\x01\x02 no program\n")
        .expect("space on the disk");
    drop(file);
    fs::set_permissions(&draft, fs::Permissions::from_mode(mode)).expect("the file is writable");
    fs::rename(&draft, program).expect("the folder is writable");
}

const REASONS: [Errno; 3] = [Errno::ENOENT, Errno::EACCES, Errno::ENOEXEC];

fn assert_names(error: &Error, reason: Errno, program: &Path) {
    let Error::Start { source, call, .. } = error else {
        panic!("another error: {error}");
    };
    assert_eq!(source.raw_os_error(), Some(reason as i32), "{error}");
    assert_eq!(*call, "execve");
    assert!(
        error.to_string().contains(&program.display().to_string()),
        "{error}"
    );
    assert_eq!(error.exit_code(), 72);
}

#[test]
fn bad_programs_end_the_master_at_the_first_start() {
    for reason in REASONS {
        let folder = folder();
        let program = folder.path().join("program");
        break_program(&program, reason);
        let (mut prefork, _) = master(2, REST);
        let path = program.clone();
        prefork = prefork.child_producer(move |child| {
            child.program(&path);
        });
        assert_names(&fail(prefork), reason, &program);
    }
}

#[test]
fn p25_bad_programs_end_the_master_at_a_recovery() {
    for reason in REASONS {
        let folder = folder();
        let program = folder.path().join("program");
        std::os::unix::fs::symlink("/bin/sleep", &program).expect("the folder is writable");
        let (prefork, _) = master(2, REST);
        let (mut prefork, calls) = record_hooks(prefork);
        let path = program.clone();
        // No child ever counts as healthy.
        prefork = prefork.healthy_after("1h").child_producer(move |child| {
            child.program(&path).arg("1000");
        });
        let master = start(prefork);
        let pids = spawned(&calls.wait("both children, announced", 3));
        break_program(&program, reason);
        kill_child(pids[0]);
        let error = master.wait().expect_err("the master cannot start a child");
        assert_names(&error, reason, &program);
        assert_eq!(spawned(&calls.all()), pids, "the master must not retry");
        assert_gone(&pids);
    }
}

#[test]
fn p25_a_program_that_is_missing_for_a_while_does_not_end_a_fleet_that_was_healthy() {
    for reason in REASONS {
        let folder = folder();
        let program = folder.path().join("program");
        let link = || std::os::unix::fs::symlink("/bin/sleep", &program);
        link().expect("the folder is writable");
        let (prefork, lines) = master(2, REST);
        let (mut prefork, calls) = record_hooks(prefork);
        let path = program.clone();
        // Every child counts as healthy.
        prefork = prefork
            .healthy_after("0s")
            .recover_threshold(1000)
            .child_producer(move |child| {
                child.program(&path).arg("1000");
            });
        let master = start(prefork);
        let pids = spawned(&calls.wait("both children, announced", 3));
        break_program(&program, reason);
        kill_child(pids[0]);
        lines.wait_for(|line| line.text.contains("cannot start"));
        assert!(proc::is_alive(pids[1]), "{reason}");
        fs::remove_file(&program)
            .or_else(|error| match reason {
                Errno::ENOENT => Ok(()),
                _ => Err(error),
            })
            .expect("the folder is writable");
        link().expect("the folder is writable");
        calls.wait("a replacement", 5);
        assert!(proc::is_alive(pids[1]), "{reason}");
        stop(master);
    }
}

/// Sets the soft limit of a running process, as its user. Other users have no permission.
fn limit(as_user: &[String], pid: i32, limit: &str) {
    let mut command: Vec<&str> = as_user.iter().map(String::as_str).collect();
    let pid = pid.to_string();
    command.extend(["prlimit", "--pid", &pid, limit]);
    let status = Command::new(command[0]).args(&command[1..]).status();
    assert!(status.expect("util-linux is installed").success());
}

/// Kills a worker of a server under a limit, then lifts the limit.
///
/// Under the limit, the master reports the failed starts and the other worker stays. Afterwards the
/// master replaces the worker.
fn assert_a_shortage_is_reported_and_ends(
    as_user: &[String],
    [lower, lift]: [&str; 2],
    reason: Errno,
) {
    let mut server = Server::new(SHELL)
        .arg(script("ready; exec sleep 1000"))
        .env("PREFORK_WORKERS", "2")
        .env("PREFORK_RECOVER_THRESHOLD", "1000")
        .wrapper(as_user)
        .start();
    let [killed, other] = server.wait_for_children(2)[..] else {
        panic!("expected two children");
    };
    limit(as_user, server.master_pid(), lower);
    server.kill_child(killed.slot);
    let is_report = |line: &String| line.contains("cannot start") && line.contains("os error");
    let reports = eventually("three attempts", || {
        let log = server.log().into_iter();
        let reports: Vec<String> = log.filter(is_report).collect();
        (reports.len() >= 3).then_some(reports)
    });
    for report in reports {
        assert!(report.starts_with("prefork: worker 0: "), "{report}");
        assert!(
            report.contains(&format!("os error {}", reason as i32)),
            "{report}"
        );
    }
    assert_eq!(server.children(), [other]);
    limit(as_user, server.master_pid(), lift);
    let children = server.wait_for_children(2);
    assert_ne!(children[0].pid, killed.pid);
    assert_eq!(children[1], other);
    assert_eq!(proc::zombies_of(server.master_pid()), [0; 0]);
    assert_eq!(server.stop().code(), Some(0));
    assert_eq!(server.processes(), [0; 0]);
}

#[test]
fn p25_a_shortage_of_descriptors_is_reported_and_retried_with_pauses() {
    assert_a_shortage_is_reported_and_ends(&[], ["--nofile=5:", "--nofile=1024:"], Errno::EMFILE);
}

#[test]
fn p25_a_shortage_of_processes_is_reported_and_retried_with_pauses() {
    // A user without other processes and without permission to exceed limits.
    let user = (1_000_000 + std::process::id()).to_string();
    let as_user = [
        "setpriv",
        "--reuid",
        &user,
        "--regid",
        &user,
        "--clear-groups",
    ];
    let as_user = as_user.map(str::to_owned);
    let mut attempt = Command::new(&as_user[0]);
    let attempt = attempt
        .args(&as_user[1..])
        .args(["test", "-x", SHELL])
        .status();
    if !attempt.is_ok_and(|status| status.success()) {
        println!("skipped: needs setpriv(1), root, and a build that others may execute");
        return;
    }
    assert_a_shortage_is_reported_and_ends(
        &as_user,
        ["--nproc=1:", "--nproc=1000:"],
        Errno::EAGAIN,
    );
}

#[test]
fn p25_a_lasting_shortage_ends_the_master_by_the_threshold() {
    let mut server = Server::new(SHELL)
        .arg(script("ready; exec sleep 1000"))
        .env("PREFORK_WORKERS", "1")
        .env("PREFORK_RECOVER_THRESHOLD", "3")
        .start();
    server.wait_for_children(1);
    limit(&[], server.master_pid(), "--nofile=5:");
    server.kill_child(0);
    assert_eq!(server.wait().code(), Some(75));
    let log = server.final_log();
    let last = log.last().expect("a paragraph");
    let expected = format!("os error {}", libc::EMFILE);
    assert!(
        last.contains("(recover_threshold = 3); last exit: ") && last.contains(&expected),
        "{last}"
    );
}
