//! Programs that fail in a rollout, and program files that change meanwhile.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use nix::libc;
use nix::sys::stat::Mode;
use prefork_testkit::{RunningServer, Server, Signal, eventually};
use prefork_tests::proc;

use super::TWO_LISTENERS;
use super::releases::{
    Releases, assert_accepted, assert_refused, assert_serves, copy, release_of, reload, settled,
    verdict_after, verdicts,
};

/// A release whose rollout is refused, and parts of the text of the verdict.
pub(super) struct BadProgram {
    pub(super) name: &'static str,
    verdict: &'static [&'static str],
    add: fn(&Releases, &str),
}

const fn bad(
    name: &'static str,
    add: fn(&Releases, &str),
    verdict: &'static [&'static str],
) -> BadProgram {
    BadProgram { name, verdict, add }
}

/// A copy of the server whose behavior is its name.
fn behavior(releases: &Releases, name: &str) {
    releases.add(name, name);
}

pub(super) const BAD_PROGRAMS: [BadProgram; 20] = [
    bad(
        "no file",
        |releases, name| fs::create_dir(releases.path(name)).expect("a new directory"),
        &["stage open", "No such file or directory"],
    ),
    bad(
        "a directory",
        |releases, name| {
            let path = releases.path(name).join("app");
            fs::create_dir_all(path).expect("a new directory");
        },
        &["stage open", "is not a regular file"],
    ),
    bad(
        "not executable",
        |releases, name| releases.add_file(name, "text", 0o644),
        &["stage open", "is not executable"],
    ),
    bad(
        "no program",
        |releases, name| releases.add_file(name, "text", 0o755),
        &["stage start", "Exec format error"],
    ),
    bad(
        "a script",
        |releases, name| releases.add_file(name, "#!/bin/sh\nexit 7\n", 0o755),
        &["stage start", "the program is a script"],
    ),
    bad(
        "cut off",
        |releases, name| {
            let cut = releases.add(name, "");
            let file = File::options().write(true).open(cut).expect("own file");
            let length = file.metadata().expect("an open file").len();
            file.set_len(length / 2).expect("a file");
        },
        &["stage "],
    ),
    bad(
        "a library is missing",
        Releases::add_without_library,
        &[
            "stage ready",
            "exited with status 127; its last line on stderr: ",
            "libgcx_s.so.1",
        ],
    ),
    bad(
        "exits before main",
        behavior,
        &["stage ready", "exited with status 3"],
    ),
    bad(
        "exits in a constructor",
        Releases::add_with_constructor,
        &["stage ready", "exited with status 3"],
    ),
    bad(
        "fails",
        behavior,
        &["stage ready", "main returned an error: "],
    ),
    bad(
        "panics after its first accept",
        behavior,
        &["stage soak", "no luck"],
    ),
    bad(
        "takes back its readiness",
        behavior,
        &["stage soak", "took back its readiness"],
    ),
    bad(
        "never accepts",
        behavior,
        &["stage ready", "ready_timeout (2s)"],
    ),
    bad(
        "starts slowly",
        behavior,
        &["stage ready", "ready_timeout (2s)"],
    ),
    bad(
        "lives for 900 ms",
        behavior,
        &["stage soak", "exited with status 9"],
    ),
    bad(
        "floods stderr and fails",
        behavior,
        &[
            "stage ready",
            "exited with status 4; its last line on stderr: 000009999 .....",
        ],
    ),
    bad(
        "is killed",
        behavior,
        &["stage soak", "was killed by SIGKILL"],
    ),
    bad(
        "sets other options",
        behavior,
        &["stage ready", "(reuseport): restart needed"],
    ),
    bad(
        "sets another backlog",
        behavior,
        &["stage ready", "(backlog): restart needed"],
    ),
    bad(
        "other listeners",
        |releases, name| {
            fs::create_dir(releases.path(name)).expect("a new directory");
            copy(Path::new(TWO_LISTENERS), &releases.path(name).join("app"));
        },
        &["stage ready", "restart needed"],
    ),
];

impl BadProgram {
    /// Whether its successor gets requests before it fails.
    pub(super) fn exits_while_it_serves(&self) -> bool {
        self.verdict[0] == "stage soak"
    }

    /// Adds the release, rolls it out, and checks that nothing has changed.
    pub(super) fn assert_refused(&self, server: &RunningServer, releases: &Releases) {
        (self.add)(releases, self.name);
        assert_refused(server, releases, self.name, self.verdict);
    }
}

/// A server with limits in which each bad program fails.
pub(super) fn server(releases: &Releases) -> Server {
    releases
        .server()
        .env("PREFORK_READY_TIMEOUT", "2s")
        .env("PREFORK_ROLLOUT_SOAK", "1s")
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "10s")
}

/// Each part of the programs has a server of its own, so that the tests run at the same time.
fn assert_each_refused(programs: &[BadProgram]) {
    let releases = Releases::new();
    let server = server(&releases).start();
    for program in programs {
        program.assert_refused(&server, &releases);
        assert_accepted(&server, &releases, "one");
    }
    let log = server.log();
    let recovered = log.iter().find(|line| line.contains("recovered"));
    assert_eq!(recovered, None, "{log:#?}");
}

#[test]
fn a_program_that_cannot_be_executed_is_refused() {
    assert_each_refused(&BAD_PROGRAMS[..7]);
}

#[test]
fn a_program_that_is_never_ready_is_refused() {
    assert_each_refused(&BAD_PROGRAMS[7..13]);
}

#[test]
fn a_program_that_fails_is_refused_with_its_last_words() {
    assert_each_refused(&BAD_PROGRAMS[13..]);
}

#[test]
fn a_program_that_is_open_for_writing_is_refused_until_it_is_closed() {
    let releases = Releases::new();
    let server = server(&releases).start();
    let written = releases.add("written", "");
    let writer = File::options().append(true).open(written).expect("a file");
    let texts = ["stage start", "Text file busy"];
    assert_refused(&server, &releases, "written", &texts);
    drop(writer);
    assert_accepted(&server, &releases, "written");
}

#[test]
fn a_program_that_floods_stderr_is_accepted_and_its_output_is_complete() {
    let releases = Releases::new();
    let server = releases.server().env("PREFORK_WORKERS", "4").start();
    releases.add("loud", "floods stderr");
    let before = proc::status(server.master_pid(), "VmHWM").expect("the master runs");
    assert_accepted(&server, &releases, "loud");
    let after = proc::status(server.master_pid(), "VmHWM").expect("the master runs");
    assert!(
        after < before + 4096,
        "{before} kB before, {after} kB after"
    );
    for number in ["000000000 .", "000005000 .", "000009999 ."] {
        let log = server.log();
        let lines = log.iter().filter(|line| line.starts_with(number)).count();
        assert_eq!(lines, 4, "{number}: one line of each worker");
    }
    // The workers have the stderr of the master.
    let own = fs::read_link(format!("/proc/{}/fd/2", server.master_pid())).ok();
    eventually("the stderr of the master in each worker", || {
        let stderr = |pid| fs::read_link(format!("/proc/{pid}/fd/2")).ok();
        let mut children = server.children().into_iter();
        children.all(|child| stderr(child.pid) == own).then_some(())
    });
}

#[test]
fn a_successor_that_floods_a_stderr_without_a_reader_does_not_block_the_master() {
    let releases = Releases::new();
    let fifo = releases.path("stderr");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).expect("a new file");
    // It never blocks, and it is a reader that does not read.
    let mut options = File::options();
    let options = options.read(true).write(true);
    let stderr = options.custom_flags(libc::O_NONBLOCK).open(&fifo);
    let mut stderr = stderr.expect("it exists");
    let server = server(&releases)
        .env("STDERR", &fifo)
        .wrapper(["/bin/sh", "-c", "exec \"$@\" 2> \"$STDERR\"", "sh"])
        .start();
    let before = settled(&server);
    releases.add("loud", "floods stderr");
    releases.switch("loud");
    server.signal(Signal::SIGHUP);
    eventually("a successor", || {
        (server.children().len() == 5).then_some(())
    });
    // It waits for the reader, so it is not ready in time.
    assert_eq!(settled(&server), before);
    assert_serves(&server, "one");
    // The log has its place in the pipe.
    let mut log = Vec::new();
    eventually("the verdict", || {
        let mut part = [0; 4096];
        while let Ok(length @ 1..) = stderr.read(&mut part) {
            log.extend_from_slice(&part[..length]);
        }
        let text = String::from_utf8_lossy(&log);
        let mut lines = text.lines();
        lines
            .any(|line| line.contains("rollout refused after") && line.contains("ready_timeout"))
            .then_some(())
    });
}

#[test]
fn a_program_file_that_is_removed_or_replaced_during_the_rollout_is_the_one_that_was_opened() {
    let releases = Releases::new();
    let server = releases.server().env("PREFORK_ROLLOUT_SOAK", "1s").start();
    let two = releases.add("two", "");
    let three = releases.add("three", "");
    for is_replaced in [false, true] {
        let count = verdicts(&server).len();
        releases.switch("two");
        server.signal(Signal::SIGHUP);
        server.wait_for_log(|line| line.contains("rolling out"));
        eventually("a successor", || {
            let children = server.children().into_iter();
            (children.count() > 4).then_some(())
        });
        if is_replaced {
            fs::rename(&three, &two).expect("the same file system");
        } else {
            fs::remove_file(&two).expect("it exists");
        }
        assert!(
            verdict_after(&server, count).contains("accepted"),
            "{:#?}",
            server.log()
        );
        let deleted = format!("{} (deleted)", two.display());
        for child in settled(&server) {
            assert_eq!(release_of(child), Some(deleted.clone().into()));
        }
        if !is_replaced {
            let verdict = reload(&server);
            assert!(verdict.contains("stage open"), "{verdict}");
            copy(Path::new(super::releases::ROLLING), &two);
        }
    }
    assert!(reload(&server).contains("accepted"), "{:#?}", server.log());
    for child in settled(&server) {
        assert_eq!(release_of(child), Some(two.clone()));
    }
}

#[test]
fn rollout_parallel_can_exceed_the_number_of_slots_and_has_bounds() {
    let releases = Releases::new();
    let server = releases
        .server()
        .env("PREFORK_ROLLOUT_PARALLEL", "1000")
        .start();
    assert_accepted(&server, &releases, "one");
    drop(server);
    for value in ["0", "0%", "150%", "10001"] {
        let output = releases
            .server()
            .env("PREFORK_ROLLOUT_PARALLEL", value)
            .run();
        assert_eq!(output.code(), Some(78), "{}", output.text());
        assert!(
            output.text().contains("PREFORK_ROLLOUT_PARALLEL"),
            "{}",
            output.text()
        );
    }
}

/// Sets the soft limit of open files so that the process can open this number of further ones.
fn limit_new_fds(pid: i32, number: usize) {
    let open: Vec<i32> = proc::fds(pid).into_iter().map(|(fd, _)| fd).collect();
    let mut free = (0..).filter(|fd| !open.contains(fd));
    let limit = free.nth(number).expect("the numbers do not end");
    let limit = format!("--nofile={limit}:");
    let pid = pid.to_string();
    let status = Command::new("prlimit")
        .args(["--pid", &pid, &limit])
        .status();
    assert!(status.expect("prlimit is installed").success());
}

#[test]
fn a_rollout_without_descriptors_is_refused() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        println!("skipped: needs prlimit(1)");
        return;
    }
    let releases = Releases::new();
    let server = server(&releases).start();
    settled(&server);
    releases.add("two", "");
    // For the program, the channel and the process of the successor.
    for (number, stage) in [(0, "open"), (1, "start"), (2, "start"), (3, "start")] {
        limit_new_fds(server.master_pid(), number);
        let stage = format!("stage {stage}");
        assert_refused(&server, &releases, "two", &[&stage, "Too many open files"]);
    }
    limit_new_fds(server.master_pid(), 100);
    assert_accepted(&server, &releases, "two");
}
