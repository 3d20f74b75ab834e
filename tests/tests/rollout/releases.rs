//! Releases of a program in one directory, and servers that run them.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use prefork_testkit::{ChildInfo, RunningServer, Server, Signal, eventually};
use prefork_tests::client::get;
use prefork_tests::proc;
use tempfile::TempDir;

pub(super) const ROLLING: &str = env!("CARGO_BIN_EXE_rolling");

const EXITS_IN_CONSTRUCTOR: &str = "
#include <unistd.h>
__attribute__((constructor)) static void start(void) { _exit(3); }
int main(void) { return 0; }
";

/// Copies a file in another process.
///
/// If this process opened the copy for writing, processes that other tests start at the same time
/// would inherit the descriptor. The copy could not be executed until they exit.
pub(super) fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status();
    assert!(copied.is_ok_and(|status| status.success()), "space");
}

/// A directory with releases of a program, and the link `current` to one of them.
pub(super) struct Releases(TempDir);

impl Releases {
    pub(super) fn new() -> Self {
        let releases = Self(tempfile::tempdir().expect("a directory"));
        releases.add("one", "");
        releases.switch("one");
        releases
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Adds a release with this behavior, and returns the path of its program.
    pub(super) fn add(&self, name: &str, behavior: &str) -> PathBuf {
        let directory = self.path(name);
        fs::create_dir(&directory).expect("a new directory");
        self.set_behavior(name, behavior);
        let program = directory.join("app");
        copy(Path::new(ROLLING), &program);
        program
    }

    /// Changes what the workers of this release do that start from now on.
    pub(super) fn set_behavior(&self, name: &str, behavior: &str) {
        fs::write(self.path(name).join("behavior"), behavior).expect("space");
    }

    /// Adds a release that needs a library that does not exist.
    pub(super) fn add_without_library(&self, name: &str) {
        let program = self.add(name, "");
        let mut bytes = fs::read(&program).expect("own file");
        let library = b"libgcc_s.so.1";
        let mut positions = bytes.windows(library.len());
        let at = positions.position(|part| part == library);
        // The name of no library.
        bytes[at.expect("programs use it to unwind") + 5] = b'x';
        let changed = self.path(name).join("changed");
        fs::write(&changed, bytes).expect("space");
        copy(&changed, &program);
    }

    /// Adds a release that exits before its `main`, in a constructor.
    pub(super) fn add_with_constructor(&self, name: &str) {
        let directory = self.path(name);
        fs::create_dir(&directory).expect("a new directory");
        let source = directory.join("exits.c");
        fs::write(&source, EXITS_IN_CONSTRUCTOR).expect("space");
        let mut cc = Command::new("cc");
        let compiled = cc.arg("-o").arg(directory.join("app")).arg(source).status();
        // rustc links with it, too.
        assert!(compiled.is_ok_and(|status| status.success()), "needs cc");
    }

    /// Adds a release that is a file with this text and mode.
    pub(super) fn add_file(&self, name: &str, text: &str, mode: u32) {
        let directory = self.path(name);
        fs::create_dir(&directory).expect("a new directory");
        let (source, program) = (directory.join("text"), directory.join("app"));
        fs::write(&source, text).expect("space");
        copy(&source, &program);
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).expect("own file");
    }

    /// Lets the link name this release, as a deployment does.
    pub(super) fn switch(&self, name: &str) {
        let next = self.path("next");
        symlink(name, &next).expect("no such link");
        fs::rename(next, self.path("current")).expect("the same directory");
    }

    pub(super) fn server(&self) -> Server {
        Server::new(self.path("current/app"))
            .env("PREFORK_WORKERS", "4")
            .env("PREFORK_ROLLOUT_PARALLEL", "100%")
            .env("PREFORK_ROLLOUT_SOAK", "100ms")
    }

    /// Switches to this release and requests a rollout; returns its verdict.
    pub(super) fn roll_out(&self, server: &RunningServer, name: &str) -> String {
        self.switch(name);
        reload(server)
    }
}

fn is_verdict(line: &str) -> bool {
    line.contains("rollout accepted after") || line.contains("rollout refused after")
}

pub(super) fn verdicts(server: &RunningServer) -> Vec<String> {
    let log = server.log().into_iter();
    log.filter(|line| is_verdict(line)).collect()
}

/// Requests a rollout; returns its verdict.
pub(super) fn reload(server: &RunningServer) -> String {
    let before = verdicts(server).len();
    server.signal(Signal::SIGHUP);
    verdict_after(server, before)
}

/// Waits for the verdict after this number of verdicts.
pub(super) fn verdict_after(server: &RunningServer, before: usize) -> String {
    let count = Cell::new(0);
    server.wait_for_log(|line| {
        count.set(count.get() + usize::from(is_verdict(line)));
        count.get() > before
    })
}

/// Waits until only the workers of the slots are left.
pub(super) fn settled(server: &RunningServer) -> Vec<ChildInfo> {
    eventually("one worker a slot", || {
        let children = server.children();
        let slots: Vec<usize> = children.iter().map(|child| child.slot).collect();
        (slots == [0, 1, 2, 3]).then_some(children)
    })
}

/// Every worker that answers runs this release.
pub(super) fn assert_serves(server: &RunningServer, release: &str) {
    for _ in 0..20 {
        let body = get(server.addr(), "/").expect("an answer");
        assert_eq!(body.trim_end(), release, "{:#?}", server.log());
    }
}

pub(super) fn release_of(child: ChildInfo) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{}/exe", child.pid)).ok()
}

/// The rollout to this release is refused with this text, and nothing has changed.
pub(super) fn assert_refused(
    server: &RunningServer,
    releases: &Releases,
    name: &str,
    texts: &[&str],
) {
    let (before, fds) = (settled(server), proc::fds(server.master_pid()).len());
    let count = verdicts(server).len();
    let verdict = releases.roll_out(server, name);
    for text in texts {
        assert!(verdict.contains(text), "{text}: {:#?}", server.log());
    }
    assert_eq!(settled(server), before, "{:#?}", server.log());
    eventually("the descriptors of before", || {
        (proc::fds(server.master_pid()).len() == fds).then_some(())
    });
    assert_serves(server, "one");
    assert_eq!(verdicts(server).len(), count + 1, "one verdict");
    eventually("no other process", || {
        (server.processes().len() == 5).then_some(())
    });
}

/// The rollout to this release replaces every worker.
pub(super) fn assert_accepted(server: &RunningServer, releases: &Releases, name: &str) {
    let before = settled(server);
    let verdict = releases.roll_out(server, name);
    assert!(verdict.contains("accepted"), "{name}: {:#?}", server.log());
    let after = settled(server);
    assert!(before.iter().all(|old| !after.contains(old)), "{after:?}");
    assert_serves(server, name);
    // The master and four workers.
    eventually("no other process", || {
        (server.processes().len() == 5).then_some(())
    });
}

/// A good program is rolled out after whatever came before it.
pub(super) fn assert_next_is_accepted(server: &RunningServer, releases: &Releases) {
    releases.add("good", "");
    assert_accepted(server, releases, "good");
}
