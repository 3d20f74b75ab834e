//! Programs that cannot be started, limits of the machine, deaths in a burst, a stderr that takes
//! nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use nix::errno::Errno;
use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use prefork::Error;
use prefork_testkit::{Running, Server, Signal, eventually};
use prefork_tests::client::get;
use prefork_tests::proc;

use crate::support::{
    REST, assert_gone, fail, folder, kill_child, listen_in, master, script, spawned, start,
};

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const SHELL: &str = env!("CARGO_BIN_EXE_parity_shell");

/// A program in the folder that cannot be executed for this reason.
fn spoil(program: &Path, reason: Errno) {
    let _ = fs::remove_file(program);
    let mode = match reason {
        Errno::ENOENT => return,
        Errno::EACCES => 0o600,
        _ => 0o700,
    };
    // Whole before it is there: nobody executes a file that is being written.
    let draft = program.with_extension("draft");
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&draft)
        .expect("the folder is ours");
    file.write_all(b"\x01\x02 no program\n")
        .expect("room on the disk");
    drop(file);
    fs::set_permissions(&draft, fs::Permissions::from_mode(mode)).expect("it is ours");
    fs::rename(&draft, program).expect("the folder is ours");
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
        spoil(&program, reason);
        let (mut prefork, _) = master(2, REST);
        let path = program.clone();
        prefork.child_producer(move |child| {
            child.program(&path);
        });
        assert_names(&fail(&mut prefork), reason, &program);
    }
}

#[test]
fn p25_bad_programs_end_the_master_at_a_recovery() {
    for reason in REASONS {
        let folder = folder();
        let program = folder.path().join("program");
        std::os::unix::fs::symlink("/bin/sleep", &program).expect("the folder is ours");
        let (mut prefork, _) = master(2, REST);
        let facts = listen_in(&mut prefork);
        let path = program.clone();
        prefork.child_producer(move |child| {
            child.program(&path).arg("1000");
        });
        let master = start(&mut prefork);
        let pids = spawned(&facts.wait("both children, announced", 3));
        spoil(&program, reason);
        kill_child(pids[0]);
        let error = master.wait().expect_err("nothing can be started");
        assert_names(&error, reason, &program);
        assert_eq!(spawned(&facts.all()), pids, "nothing is tried again");
        assert_gone(&pids);
    }
}

/// Sets the soft limit of a process that runs, as its own user: others may not.
fn limit(as_user: &[String], pid: i32, limit: &str) {
    let mut words: Vec<&str> = as_user.iter().map(String::as_str).collect();
    let pid = pid.to_string();
    words.extend(["prlimit", "--pid", &pid, limit]);
    let status = Command::new(words[0]).args(&words[1..]).status();
    assert!(status.expect("util-linux is there").success());
}

/// Kills a worker of a server under a limit, sees the failure reported and nothing else suffer, lifts
/// the limit and sees the worker come back.
fn is_reported_and_heals(as_user: &[String], [lower, lift]: [&str; 2], reason: Errno) {
    let mut server = Server::new(SHELL)
        .arg(script("ready; exec sleep 1000"))
        .env("PREFORK_WORKERS", "2")
        .env("PREFORK_RECOVER_THRESHOLD", "1000")
        .through(as_user)
        .start();
    let [dead, other] = server.wait_for_children(2)[..] else {
        panic!("there are two");
    };
    limit(as_user, server.master_pid(), lower);
    server.kill_child(dead.slot);
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
    assert_ne!(children[0].pid, dead.pid);
    assert_eq!(children[1], other);
    assert_eq!(proc::zombies_of(server.master_pid()), [0; 0]);
    assert_eq!(server.stop().code(), Some(0));
    assert_eq!(server.processes(), [0; 0]);
}

#[test]
fn p25_a_lack_of_descriptors_is_reported_backed_off_from_and_heals() {
    is_reported_and_heals(&[], ["--nofile=5:", "--nofile=1024:"], Errno::EMFILE);
}

#[test]
fn p25_a_lack_of_processes_is_reported_backed_off_from_and_heals() {
    // A user who has no other processes, and no right to pass limits.
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
    is_reported_and_heals(&as_user, ["--nproc=1:", "--nproc=1000:"], Errno::EAGAIN);
}

#[test]
fn p25_a_lack_that_lasts_ends_the_master_by_the_threshold() {
    let mut server = Server::new(SHELL)
        .arg(script("ready; exec sleep 1000"))
        .env("PREFORK_WORKERS", "1")
        .env("PREFORK_RECOVER_THRESHOLD", "3")
        .start();
    server.wait_for_children(1);
    limit(&[], server.master_pid(), "--nofile=5:");
    server.kill_child(0);
    assert_eq!(server.wait().code(), Some(75));
    let log = server.whole_log();
    let last = log.last().expect("a paragraph");
    let expected = format!("os error {}", libc::EMFILE);
    assert!(
        last.contains("3 are allowed; the last: ") && last.contains(&expected),
        "{last}"
    );
}

/// Kills children as they are started, so many, and says whether the master bore it.
fn burst(server: &mut Running, kills: usize) -> usize {
    let mut killed = 0;
    eventually("the kills, or the end", || {
        let log = server.log();
        let pids = log
            .iter()
            .filter_map(|line| line.strip_prefix("spawned ")?.parse().ok());
        for pid in pids.skip(killed).take(kills - killed).collect::<Vec<i32>>() {
            // Gone when the master has stopped it before.
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL);
            killed += 1;
        }
        let is_over = killed == kills || !proc::is_alive(server.master_pid());
        is_over.then_some(())
    });
    killed
}

fn mortal(workers: &str) -> Server {
    Server::new(SHELL)
        .arg("exec sleep 1000")
        // Well as soon as they are there.
        .env("PREFORK_HEALTHY_AFTER", "0s")
        .env("PREFORK_WORKERS", workers)
}

#[test]
fn bad_a_thousand_kills_in_a_burst_are_all_recovered() {
    let mut server = mortal("50")
        .env("PREFORK_RECOVER_THRESHOLD", "10000")
        .start();
    server.wait_for_children(50);
    assert_eq!(burst(&mut server, 1000), 1000);
    let spawned = |server: &Running| {
        let log = server.log();
        log.iter()
            .filter(|line| line.starts_with("spawned "))
            .count()
    };
    eventually("as many successors", || {
        (spawned(&server) == 1050).then_some(())
    });
    assert_eq!(server.wait_for_children(50).len(), 50);
    assert_eq!(proc::zombies_of(server.master_pid()), [0; 0]);
    assert_eq!(server.stop().code(), Some(0));
    let log = server.whole_log();
    let killed = log
        .iter()
        .filter(|line| line.contains("was killed by SIGKILL"));
    assert_eq!(killed.count(), 1000);
    assert_eq!(spawned(&server), 1050);
    assert_eq!(server.processes(), [0; 0]);
}

#[test]
fn bad_a_thousand_kills_in_a_burst_end_a_master_of_defaults_with_a_paragraph_that_says_why() {
    let mut server = mortal("4").start();
    server.wait_for_children(4);
    assert!(burst(&mut server, 1000) >= 9);
    assert_eq!(server.wait().code(), Some(75));
    let log = server.whole_log();
    let last = log.last().expect("a paragraph");
    for part in [
        "workers ended unasked within 1m",
        "8 are allowed; the last: worker ",
        "was killed by SIGKILL",
        "PREFORK_RECOVER_THRESHOLD",
    ] {
        assert!(last.contains(part), "{last}");
    }
    assert_eq!(server.processes(), [0; 0]);
}

/// A server whose start line nobody can read: its worker was told where it listens.
fn addr(server: &Running) -> std::net::SocketAddr {
    let child = server.wait_for_children(1)[0];
    let addrs = proc::variable(child.pid, "PREFORK_ADDRS").expect("a child has it");
    let (_, addr) = addrs.split_once('=').expect("name and address");
    addr.parse().expect("an address")
}

/// Serves, recovers and stops.
fn goes_on(mut server: Running) {
    let addr = addr(&server);
    for _ in 0..20 {
        get(addr, "/").expect("an answer");
        let killed = server.kill_child(0);
        eventually("another child", || {
            server.child(0).filter(|child| child.pid != killed.pid)
        });
    }
    get(addr, "/").expect("an answer");
    assert_eq!(server.stop().code(), Some(0));
    assert_eq!(server.processes(), [0; 0]);
}

#[test]
fn bad_a_closed_stderr_stops_nothing() {
    let server = Server::new(HELLO)
        .env("PREFORK_WORKERS", "1")
        .env("PREFORK_RECOVER_THRESHOLD", "1000")
        .through(["sh", "-c", "exec 2>&- \"$@\"", "sh"])
        .launch();
    goes_on(server);
}

#[test]
fn bad_a_stderr_that_nobody_reads_stops_nothing_and_what_was_lost_is_told() {
    let folder = folder();
    let path = folder.path().join("stderr");
    mkfifo(&path, Mode::S_IRWXU).expect("the folder is ours");
    // Both ends, so that neither opening waits; not waiting, so that it can be filled.
    let mut pipe = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(&path)
        .expect("it is there");
    while pipe.write(&[b'x'; 4096]).is_ok() {}
    let server = Server::new(HELLO)
        .env("PREFORK_WORKERS", "1")
        .env("PREFORK_RECOVER_THRESHOLD", "1000")
        .env("PIPE", &path)
        .through(["sh", "-c", "exec 2>\"$PIPE\" \"$@\"", "sh"])
        .launch();
    let addr = addr(&server);
    get(addr, "/").expect("an answer");
    let killed = server.kill_child(0);
    eventually("another child", || {
        server.child(0).filter(|child| child.pid != killed.pid)
    });
    // Somebody reads at last: the next line says how many there were.
    let mut bytes = vec![0; 65_536];
    while pipe.read(&mut bytes).is_ok() {}
    server.kill_child(0);
    let mut text = String::new();
    eventually("the next lines", || {
        if let Ok(count) = pipe.read(&mut bytes) {
            text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        text.contains("was killed by SIGKILL").then_some(())
    });
    // The start and the first death.
    assert!(text.starts_with("prefork: 2 lines were lost"), "{text}");
    while pipe.write(&[b'x'; 4096]).is_ok() {}
    goes_on(server);
}
