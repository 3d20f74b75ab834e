//! Children that do not execute their program: the exec blocks, or the child is killed before it.
#![expect(
    unsafe_code,
    reason = "fcntl(2) with the commands of leases has no safe function"
)]

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::libc;
use prefork_testkit::{Reservation, Server, Signal, eventually, reserve_addr};
use prefork_tests::client::get;

const SERVER: &str = env!("CARGO_BIN_EXE_failing_worker");
const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const FILTERED: &str = env!("CARGO_BIN_EXE_filtered");

/// `F_SETSIG` of `fcntl(2)`: not in libc.
const F_SETSIG: i32 = 10;

/// A program under a lease (`fcntl(2)`).
///
/// An exec of it blocks until the lease is released, or for the time in
/// `/proc/sys/fs/lease-break-time`, which is longer than any wait of a test.
struct Leased {
    folder: tempfile::TempDir,
    file: File,
}

impl Leased {
    /// `None` if this file system has no leases.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("env");
        fs::copy("/usr/bin/env", &path).expect("the system has env");
        let leased = Self {
            file: File::open(path).expect("the copy exists"),
            folder,
        };
        // The kernel reports a break with this signal, and a process ignores SIGURG by default.
        leased.fcntl(F_SETSIG, libc::SIGURG);
        // A process that another test starts at this moment may hold the file for a moment, too.
        let has_lease = eventually("a lease, or a file system without leases", || match leased
            .fcntl(libc::F_SETLEASE, libc::F_WRLCK)
        {
            0.. => Some(true),
            _ if Errno::last() == Errno::EAGAIN => None,
            _ => Some(false),
        });
        if !has_lease {
            println!("skipped: needs file leases");
            return None;
        }
        Some(leased)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("env")
    }

    fn wait_for_exec(&self) {
        eventually("an exec", || {
            let lease = self.fcntl(libc::F_GETLEASE, 0);
            (lease != libc::F_WRLCK).then_some(())
        });
    }

    fn fcntl(&self, command: i32, value: i32) -> i32 {
        // SAFETY: the commands take and return numbers.
        unsafe { libc::fcntl(self.file.as_raw_fd(), command, value) }
    }
}

/// A server that starts its first worker through the leased program.
fn server(leased: &Leased, reserved: &Reservation) -> Server {
    Server::new(SERVER)
        .listen(format!("listener={reserved}"))
        .env("STORM_WRAPPER", leased.path())
}

#[test]
fn a_stop_does_not_wait_for_an_exec_that_hangs() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let Some(leased) = Leased::new() else {
            return;
        };
        let reserved = reserve_addr();
        let mut server = server(&leased, &reserved).spawn();
        leased.wait_for_exec();
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0), "{:#?}", server.log());
        assert!(server.processes().is_empty());
    }
}

#[test]
fn a_child_whose_exec_hangs_is_replaced() {
    let Some(leased) = Leased::new() else {
        return;
    };
    let reserved = reserve_addr();
    let mut server = server(&leased, &reserved).start();
    server.wait_for_log(|line| line.ends_with(": its program was not executed in time"));
    get(server.addr(), "/").expect("an answer");
    assert_eq!(server.stop().code(), Some(0));
    assert!(server.processes().is_empty());
}

#[test]
fn a_child_that_is_killed_before_its_exec_is_a_failed_start() {
    let output = Server::new(HELLO)
        .env("PREFORK_WORKERS", "2")
        .wrapper([FILTERED, "parent_death", "KILL"])
        .run();
    assert_eq!(output.code(), Some(72), "{}", output.text());
    let expected = "prctl(PR_SET_PDEATHSIG) failed: the process was killed by SIGSYS before the exec of its program";
    assert!(output.text().contains(expected), "{}", output.text());
}

#[test]
fn without_a_concurrent_clone_the_parent_waits_for_the_exec() {
    let mut server = Server::new(HELLO)
        .env("PREFORK_WORKERS", "2")
        .wrapper([FILTERED, "clone_beside", "EINVAL"])
        .start();
    let killed = server.kill_child(0);
    server.wait_for_replacement(killed);
    get(server.addr(), "/").expect("an answer");
    assert_eq!(server.stop().code(), Some(0));
}
