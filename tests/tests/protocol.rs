//! Masters and workers of different versions: each skips the frames and keys that it does not know.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use prefork_testkit::{RunningServer, Server, Signal, eventually};
use prefork_tests::client::{answer, ask, get};
use prefork_tests::proc;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

const ROLLING: &str = env!("CARGO_BIN_EXE_rolling");
const LATER_WORKER: &str = env!("CARGO_BIN_EXE_later_worker");
const HELLO: &str = env!("CARGO_BIN_EXE_hello");

/// Adds a release with this program and behavior.
fn add(releases: &TempDir, name: &str, program: &str, behavior: &str) {
    let directory = releases.path().join(name);
    fs::create_dir(&directory).expect("a new directory");
    fs::write(directory.join("behavior"), behavior).expect("space");
    // In another process: a descriptor for writing would be inherited, and prevent the exec.
    let copied = Command::new("cp")
        .arg(program)
        .arg(directory.join("app"))
        .status();
    assert!(copied.is_ok_and(|status| status.success()), "space");
}

/// Lets the link name this release.
fn switch(releases: &Path, name: &str) {
    let next = releases.join("next");
    symlink(name, &next).expect("no such link");
    fs::rename(next, releases.join("current")).expect("the same directory");
}

/// Requests a rollout of this release, and returns its verdict.
fn roll_out(server: &RunningServer, releases: &TempDir, name: &str) -> String {
    let verdicts = || {
        let mut log = server.log();
        log.retain(|line| line.contains(" accepted after ") || line.contains(" refused after "));
        log
    };
    let before = verdicts().len();
    switch(releases.path(), name);
    server.signal(Signal::SIGHUP);
    eventually("a verdict", || verdicts().get(before).cloned())
}

fn is_later(server: &RunningServer) -> bool {
    get(server.addr(), "/").expect("an answer") == "later\n"
}

#[test]
fn workers_of_a_later_version_are_rolled_out_serve_recover_and_drain() {
    let releases = tempfile::tempdir().expect("a directory");
    add(&releases, "one", ROLLING, "");
    add(&releases, "later", LATER_WORKER, "");
    switch(releases.path(), "one");
    let mut server = Server::new(releases.path().join("current/app"))
        .env("PREFORK_WORKERS", "2")
        .env("PREFORK_ROLLOUT_SOAK", "100ms")
        .start();
    assert!(!is_later(&server));
    let verdict = roll_out(&server, &releases, "later");
    assert!(verdict.contains("rollout accepted after"), "{verdict}");
    for _ in 0..20 {
        assert!(is_later(&server));
    }
    let killed = server.kill_child(0);
    let line = format!("replacing pid {}", killed.pid);
    server.wait_for_log(|logged| logged.contains(&line));
    assert!(is_later(&server));
    // And back: the workers of this version replace those of the later one.
    let verdict = roll_out(&server, &releases, "one");
    assert!(verdict.contains("rollout accepted after"), "{verdict}");
    assert!(!is_later(&server));
    assert!(roll_out(&server, &releases, "later").contains("accepted"));
    assert_eq!(server.stop().code(), Some(0));
    let log = server.final_log();
    let is_fault = |line: &String| line.contains("frame") || line.contains("did not stop");
    assert!(!log.iter().any(is_fault), "{log:#?}");
}

#[test]
fn a_program_of_another_protocol_is_refused_with_the_reason() {
    let releases = tempfile::tempdir().expect("a directory");
    add(&releases, "one", ROLLING, "");
    add(&releases, "two", LATER_WORKER, "2");
    switch(releases.path(), "one");
    let server = Server::new(releases.path().join("current/app"))
        .env("PREFORK_WORKERS", "2")
        .start();
    let before = server.wait_for_children(2);
    let verdict = roll_out(&server, &releases, "two");
    assert!(verdict.contains("refused"), "{verdict}");
    assert!(
        verdict.contains("uses another protocol version than the master"),
        "{verdict}"
    );
    let pids = |children: Vec<prefork_testkit::ChildInfo>| -> Vec<i32> {
        children.iter().map(|child| child.pid).collect()
    };
    assert_eq!(pids(server.wait_for_children(2)), pids(before));
    assert!(!is_later(&server));
}

/// A master of a later version, played by the test.
struct LaterMaster {
    channel: Socket,
    listener: TcpListener,
    worker: Child,
}

impl LaterMaster {
    /// Starts the worker, as a successor in a rollout.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("an open socket");
        let (channel, child_end) =
            Socket::pair(Domain::UNIX, Type::SEQPACKET, None).expect("descriptors");
        let limit = Some(Duration::from_secs(30));
        channel.set_read_timeout(limit).expect("an open socket");
        let welcome = "welcome region=eu grace_ms=5000 threads=1 gate=closed color=red";
        for frame in [welcome, "telemetry every_ms=5"] {
            channel.send(frame.as_bytes()).expect("the frame fits");
        }
        let addr = listener.local_addr().expect("bound");
        // The shell has the pid that the program will have, and can number the descriptors.
        let script = "export LISTEN_PID=$$; exec 3<&0 4<&1 0</dev/null 1>&2; exec \"$0\"";
        let copy = listener.try_clone().expect("descriptors");
        let worker = Command::new("sh")
            .args(["-c", script, HELLO])
            .env("PREFORK_CHILD", "1:7:1:4")
            .env("PREFORK_ADDRS", format!("listener0={addr}"))
            .env(
                "PREFORK_LATER",
                "a variable that this version does not know",
            )
            .env("LISTEN_FDS", "1")
            .env("LISTEN_FDNAMES", "listener0")
            .stdin(OwnedFd::from(copy))
            .stdout(OwnedFd::from(child_end))
            .spawn()
            .expect("sh is available");
        Self {
            channel,
            listener,
            worker,
        }
    }

    fn send(&self, frame: &str) {
        self.channel.send(frame.as_bytes()).expect("it reads");
    }

    /// Returns the next frame.
    fn receive(&self) -> String {
        let mut frame = [0; 4096];
        let length = (&self.channel).read(&mut frame).expect("a frame");
        String::from_utf8_lossy(&frame[..length]).into_owned()
    }
}

#[test]
fn a_master_of_a_later_version_starts_serves_and_drains_a_worker_of_this_one() {
    let mut master = LaterMaster::start();
    // These are the bytes that masters of all versions with protocol 1 receive.
    let hello = master.receive();
    let first = "hello protocol=1 ready=announced listeners=listener";
    assert!(hello.starts_with(first), "{hello}");
    assert_eq!(master.receive(), "ready");
    let addr = master.listener.local_addr().expect("bound");
    let waiting = ask(addr, "/").expect("the master holds the socket");
    // The gate is closed. An unknown frame does not open it.
    master.send("promote when=later");
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(proc::queued(addr), 1);
    master.send("serve slot=7 weight=3");
    let text = answer(waiting).expect("an answer");
    assert!(text.contains("worker 7"), "{text}");
    assert!(get(addr, "/").is_ok());
    let in_flight = ask(addr, "/slow?ms=300").expect("the worker is listening");
    eventually("the request in flight", || {
        (proc::queued(addr) == 0).then_some(())
    });
    master.send("drain reason=upgrade budget_ms=5000 queue=serve");
    assert_eq!(master.receive(), "closed");
    assert!(answer(in_flight).is_ok());
    assert_eq!(master.receive(), "ended how=returned");
    let status = master.worker.wait().expect("a child");
    assert_eq!(status.code(), Some(0));
}
