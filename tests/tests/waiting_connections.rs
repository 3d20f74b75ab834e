//! A client that waits in an accept queue is answered, whatever happens to the workers meanwhile.
//!
//! Other files have more cases: `parity/listeners.rs` one kill of all workers over TCP,
//! `unix_sockets.rs` kills of a worker of a unix socket, and `stalled_worker.rs` a stop.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use prefork_testkit::{ChildInfo, RunningServer, Server, Signal, eventually};
use prefork_tests::client::{self, answer_of, slot_and_pid};
use prefork_tests::{READY, proc};
use tempfile::TempDir;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const STALL: &str = env!("CARGO_BIN_EXE_stall");
const LOST_WAKE_UP: &str = env!("CARGO_BIN_EXE_lost_wake_up");
const STANDBY: &str = env!("CARGO_BIN_EXE_standby");

const CLIENTS: usize = 100;
const KILLS: usize = 20;

/// How long a handler blocks its worker.
const STALLED: Duration = Duration::from_secs(1);

/// A limit that keeps a failing test from hanging. No test asserts it.
const LIMIT: Duration = Duration::from_secs(30);

/// How the workers of a server get their connections.
#[derive(Debug, Clone, Copy)]
enum Sockets {
    Shared,
    PerSlot,
    Ring,
    Unix,
}

const ALL: [Sockets; 4] = [
    Sockets::Shared,
    Sockets::PerSlot,
    Sockets::Ring,
    Sockets::Unix,
];

/// A connection with a request that has no answer yet.
type Client = Box<dyn Read>;

/// A server, and the path of its unix socket.
struct Case {
    server: RunningServer,
    path: Option<PathBuf>,
    _directory: TempDir,
}

impl Case {
    fn start(program: &str, sockets: Sockets, workers: &str, grace: &str) -> Self {
        Self::start_with(Server::new(program), sockets, workers, grace)
    }

    fn start_with(server: Server, sockets: Sockets, workers: &str, grace: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let server = server
            .env("PREFORK_WORKERS", workers)
            .env("PREFORK_RECOVER_THRESHOLD", "1000")
            .env("PREFORK_ROLLOUT_SOAK", "100ms")
            .env("PREFORK_SHUTDOWN_GRACE_PERIOD", grace);
        let path = directory.path().join("app.sock");
        let (server, path) = match sockets {
            Sockets::Shared => (server.env("PREFORK_REUSEPORT", "false"), None),
            Sockets::PerSlot => (server.env("PREFORK_REUSEPORT", "1"), None),
            Sockets::Ring => (server.env("PREFORK_REUSEPORT", "true"), None),
            Sockets::Unix => (
                server.listen(format!("unix:{}", path.display())),
                Some(path),
            ),
        };
        let case = Self {
            server: server.start(),
            path,
            _directory: directory,
        };
        answer_of(case.ask("/")).expect("an answer");
        case
    }

    fn ask(&self, request: &str) -> Client {
        let Some(path) = &self.path else {
            let stream = client::ask(self.server.addr(), request);
            return Box::new(stream.expect("the queue has space"));
        };
        let mut stream = UnixStream::connect(path).expect("the queue has space");
        let limited = stream.set_read_timeout(Some(LIMIT));
        limited.expect("the limit is not zero");
        client::send(&mut stream, request).expect("the connection is open");
        Box::new(stream)
    }

    /// The clients that wait. No worker accepts now.
    fn waiting(&self) -> Vec<Client> {
        (0..CLIENTS).map(|_| self.ask("/")).collect()
    }

    /// Halts the workers of both slots.
    fn halted(&self) -> Vec<ChildInfo> {
        let workers =
            [0, 1].map(|slot| eventually("the workers of both slots", || self.server.child(slot)));
        self.halt(workers.to_vec())
    }

    fn halt(&self, workers: Vec<ChildInfo>) -> Vec<ChildInfo> {
        for worker in &workers {
            self.server.signal_child(worker.slot, Signal::SIGSTOP);
            eventually("the worker's halt", || {
                proc::is_stopped(worker.pid).then_some(())
            });
        }
        workers
    }

    /// The client of a handler that blocks the only thread of the only worker.
    fn blocking(&self, time: Duration) -> Client {
        let blocking = self.ask(&format!("/stall?ms={}", time.as_millis()));
        self.server.wait_for_log(|line| line == "stalled");
        blocking
    }

    fn roll_out(&self) {
        self.server.signal(Signal::SIGHUP);
        let is_verdict = |line: &str| line.contains("rollout ") && line.contains("ed after");
        let line = self.server.wait_for_log(is_verdict);
        assert!(line.contains("rollout accepted"), "{line}");
    }
}

/// The bodies of the answers. Each client gets one.
fn answers(waiting: Vec<Client>, what: &str) -> Vec<String> {
    let answers = waiting.into_iter().enumerate();
    answers
        .map(|(index, client)| {
            let answer = answer_of(client);
            answer.unwrap_or_else(|error| panic!("{what}: client {index}: {error}"))
        })
        .collect()
}

/// Each client gets an answer, and none of it is from these workers.
fn assert_answered_by_others(waiting: Vec<Client>, old: &[ChildInfo], what: &str) {
    for body in answers(waiting, what) {
        let (_, pid) = slot_and_pid(&body).expect("a worker's answer");
        assert!(old.iter().all(|old| old.pid != pid), "{what}: {body}");
    }
}

#[test]
fn waiting_clients_are_answered_in_20_kills_of_all_workers_in_a_row() {
    for sockets in ALL {
        let case = Case::start(HELLO, sockets, "2", "1m");
        for kill in 0..KILLS {
            let halted = case.halted();
            let waiting = case.waiting();
            for worker in &halted {
                case.server.kill_child(worker.slot);
            }
            assert_answered_by_others(waiting, &halted, &format!("{sockets:?}, kill {kill}"));
            for worker in halted {
                case.server.wait_for_replacement(worker);
            }
        }
    }
}

#[test]
fn clients_of_halted_workers_are_answered_when_the_workers_continue() {
    for sockets in ALL {
        let case = Case::start(HELLO, sockets, "2", "1m");
        let halted = case.halted();
        let waiting = case.waiting();
        for worker in &halted {
            case.server.signal_child(worker.slot, Signal::SIGCONT);
        }
        answers(waiting, &format!("{sockets:?}"));
        assert_eq!(case.server.wait_for_children(2), halted, "{sockets:?}");
    }
}

#[test]
fn clients_of_halted_workers_are_answered_by_the_workers_of_a_rollout() {
    for sockets in ALL {
        // The master kills the halted workers after this time.
        let case = Case::start(HELLO, sockets, "2", "500ms");
        let halted = case.halted();
        let waiting = case.waiting();
        case.roll_out();
        assert_answered_by_others(waiting, &halted, &format!("{sockets:?}"));
    }
}

#[test]
fn clients_of_a_blocked_worker_are_answered_when_it_continues() {
    for sockets in ALL {
        let case = Case::start(STALL, sockets, "1", "1m");
        let blocking = case.blocking(STALLED);
        let waiting = case.waiting();
        answers(waiting, &format!("{sockets:?}"));
        answers(vec![blocking], &format!("{sockets:?}, the blocking one"));
    }
}

#[test]
fn clients_of_a_blocked_worker_are_answered_when_it_is_killed() {
    for sockets in ALL {
        let case = Case::start(STALL, sockets, "1", "1m");
        // The handler must not end before the kill.
        let blocking = case.blocking(LIMIT);
        let waiting = case.waiting();
        case.server.kill_child(0);
        answers(waiting, &format!("{sockets:?}"));
        // The killed worker had accepted this one.
        assert!(answer_of(blocking).is_err(), "{sockets:?}");
    }
}

#[test]
fn clients_of_a_blocked_worker_are_answered_in_a_rollout() {
    for sockets in ALL {
        let case = Case::start(STALL, sockets, "1", "1m");
        let blocking = case.blocking(STALLED);
        let waiting = case.waiting();
        case.roll_out();
        answers(waiting, &format!("{sockets:?}"));
        answers(vec![blocking], &format!("{sockets:?}, the blocking one"));
    }
}

#[test]
fn clients_of_killed_workers_are_answered_by_standbys() {
    for sockets in ALL {
        let server = Server::new(STANDBY).env("PREFORK_STANDBY", "2");
        let case = Case::start_with(server, sockets, "2", "1m");
        eventually("ready workers and standbys", || {
            let log = case.server.log();
            let ready = log.iter().filter(|line| line.starts_with(READY));
            (ready.count() >= 4).then_some(())
        });
        let halted = case.halted();
        let waiting = case.waiting();
        for worker in &halted {
            case.server.kill_child(worker.slot);
        }
        assert_answered_by_others(waiting, &halted, &format!("{sockets:?}"));
        for slot in [0, 1] {
            let promoted = format!("worker {slot} (");
            let is_promotion =
                |line: &str| line.contains(&promoted) && line.contains(") promoted, replacing");
            case.server.wait_for_log(is_promotion);
        }
    }
}

#[test]
fn clients_of_halted_workers_are_answered_although_a_stop_comes() {
    for sockets in ALL {
        let mut case = Case::start(HELLO, sockets, "2", "1m");
        let halted = case.halted();
        let waiting = case.waiting();
        case.server.signal(Signal::SIGTERM);
        case.server
            .wait_for_log(|line| line.contains("stopping 2 workers"));
        for worker in &halted {
            case.server.signal_child(worker.slot, Signal::SIGCONT);
        }
        answers(waiting, &format!("{sockets:?}"));
        assert_eq!(case.server.wait().code(), Some(0), "{sockets:?}");
    }
}

/// The kernel wakes one worker for the connection, and that worker does not accept it.
fn assert_another_worker_answers(configure: impl Fn(Server) -> Server) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let first = directory.path().join("first");
    let server = Server::new(LOST_WAKE_UP)
        .env("FIRST_FILE", &first)
        .env("PREFORK_REUSEPORT", "false")
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "500ms");
    let server = configure(server).start();
    client::get(server.addr(), "/").expect("an answer of the other worker");
    assert!(first.exists());
}

#[test]
fn a_worker_that_is_suspended_after_its_wake_up_delays_no_client() {
    assert_another_worker_answers(|server| server.env("SUSPENDS", "yes"));
}

#[test]
fn a_worker_that_dies_after_its_wake_up_delays_no_client() {
    assert_another_worker_answers(|server| server);
}
