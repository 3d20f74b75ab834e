//! A child has only the descriptors and variables that are meant for it. Programs that it starts
//! inherit none of those.

use std::collections::BTreeSet;

use prefork_testkit::{RunningServer, Server, Signal, eventually};
use prefork_tests::client::get;
use prefork_tests::proc;

const BUILDER: &str = env!("CARGO_BIN_EXE_builder");
const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const PLAIN: &str = env!("CARGO_BIN_EXE_plain");
const RAW_STD: &str = env!("CARGO_BIN_EXE_raw_std");
const RAW_TOKIO: &str = env!("CARGO_BIN_EXE_raw_tokio");
const ODD: &str = env!("CARGO_BIN_EXE_odd");

/// Gives the master descriptors without close-on-exec, at the numbers of listeners and above.
const WITH_EXTRA_FDS: [&str; 4] = [
    "sh",
    "-c",
    "exec 3</dev/zero 4</dev/zero 9</dev/zero; exec \"$@\"",
    "sh",
];

/// The descriptors of a worker by their kind, apart from stdin, stdout and stderr.
#[derive(Debug, PartialEq)]
struct Descriptors {
    /// The socket of its slot. A runtime owns a second descriptor of it.
    own: usize,
    /// The socket of another slot.
    other: usize,
    /// The channel to the master.
    channel: usize,
    /// For signals, for the monitor thread, for a drain, and of the runtime.
    eventfds: usize,
    /// Of blocking accepts, or of the runtime.
    epolls: usize,
    /// Everything else, by its target.
    rest: Vec<String>,
}

impl Descriptors {
    fn of(pid: i32, listeners: &BTreeSet<String>) -> Option<Self> {
        let fds: Vec<_> = proc::fds(pid)
            .into_iter()
            .map(|(number, path)| (number, path.display().to_string()))
            .collect();
        let (_, own) = fds.iter().find(|(number, _)| *number == 3)?;
        let mut found = Self {
            own: 0,
            other: 0,
            channel: 0,
            eventfds: 0,
            epolls: 0,
            rest: Vec::new(),
        };
        for (number, path) in &fds {
            match path.as_str() {
                "/dev/null" if *number == 0 => {}
                pipe if (1..=2).contains(number) && pipe.starts_with("pipe:") => {}
                socket if socket == own => found.own += 1,
                socket if listeners.contains(socket) => found.other += 1,
                socket if *number == 4 && socket.starts_with("socket:") => found.channel += 1,
                "anon_inode:[eventfd]" => found.eventfds += 1,
                "anon_inode:[eventpoll]" => found.epolls += 1,
                // The process of the master (Linux 6.5).
                "anon_inode:[pidfd]" => {}
                other => found.rest.push(format!("{number} -> {other}")),
            }
        }
        Some(found)
    }
}

#[test]
fn a_worker_has_stdio_its_listeners_its_channel_and_what_it_opened_itself() {
    for (program, reuseport, [own, other, eventfds, epolls]) in [
        (HELLO, "false", [2, 0, 4, 2]),
        (HELLO, "1", [2, 0, 4, 2]),
        (HELLO, "2", [2, 2, 4, 2]),
        (HELLO, "3", [2, 4, 4, 2]),
        (PLAIN, "false", [1, 0, 3, 1]),
        (PLAIN, "2", [1, 1, 3, 1]),
        (RAW_STD, "2", [1, 0, 3, 0]),
        (RAW_TOKIO, "2", [1, 0, 4, 2]),
    ] {
        let server = Server::new(program)
            .env("PREFORK_WORKERS", "4")
            .env("PREFORK_REUSEPORT", reuseport)
            .wrapper(WITH_EXTRA_FDS)
            .start();
        let children = server.wait_for_children(4);
        get(server.addr(), "/").expect("an answer");
        let extra = paths(server.master_pid(), "/dev/zero");
        assert_eq!(extra, 3, "the master keeps them");
        let listeners: BTreeSet<String> = children
            .iter()
            .flat_map(|child| shared(server.master_pid(), child.pid))
            .collect();
        let expected = Descriptors {
            own,
            other,
            channel: 1,
            eventfds,
            epolls,
            rest: Vec::new(),
        };
        for child in children {
            // A worker opens some when it accepts for the first time.
            let what = format!("{program}, {reuseport}: {expected:?}");
            eventually(&what, || {
                let found = Descriptors::of(child.pid, &listeners)?;
                (found == expected).then_some(())
            });
        }
    }
}

fn paths(pid: i32, path: &str) -> usize {
    proc::fds(pid)
        .iter()
        .filter(|(_, open)| open.as_os_str() == path)
        .count()
}

/// The sockets that both processes have open.
fn shared(one: i32, other: i32) -> BTreeSet<String> {
    let sockets = |pid| proc::sockets(pid).into_iter().collect::<BTreeSet<_>>();
    sockets(one)
        .intersection(&sockets(other))
        .cloned()
        .collect()
}

/// Variables that a service manager sets for its service, except those of socket activation.
const OF_THE_SERVICE: [&str; 7] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "FDSTORE",
    "MAINPID",
    "MAINPIDFDID",
    "LISTEN_FDS_FIRST_FD",
];

fn as_a_service(server: Server) -> Server {
    let server = server.env("INVOCATION_ID", "kept");
    OF_THE_SERVICE
        .into_iter()
        .fold(server, |server, name| server.env(name, "of the service"))
}

#[test]
fn the_service_managers_variables_for_the_master_reach_no_worker() {
    let own = Server::new(HELLO).env("PREFORK_WORKERS", "1");
    let foreign = Server::new(BUILDER)
        .arg("listen=127.0.0.1:0")
        .arg("program=/bin/sleep");
    for server in [own, foreign] {
        let server = as_a_service(server).start();
        let child = server.wait_for_children(1)[0];
        for name in OF_THE_SERVICE {
            assert_eq!(proc::variable(child.pid, name), None, "{name}");
            let of_master = proc::variable(server.master_pid(), name);
            assert_eq!(of_master.as_deref(), Some("of the service"), "{name}");
        }
        let kept = proc::variable(child.pid, "INVOCATION_ID");
        assert_eq!(kept.as_deref(), Some("kept"));
    }
}

#[test]
fn what_the_producer_sets_reaches_the_worker() {
    for name in OF_THE_SERVICE {
        let server = Server::new(BUILDER)
            .arg("listen=127.0.0.1:0")
            .arg(format!("child_env={name}=of the producer"));
        let server = as_a_service(server).start();
        let child = server.wait_for_children(1)[0];
        let value = proc::variable(child.pid, name);
        assert_eq!(value.as_deref(), Some("of the producer"), "{name}");
    }
}

fn grandchild() -> RunningServer {
    let server = Server::new(ODD)
        .arg("grandchild")
        .env("MY_PREFORK_CHILD", "stays")
        .env("PREFORK_CHILD_SLOT", "stays")
        .env("LISTEN_FDS_START", "stays")
        .env("LISTEN_FDS", "7")
        .env("LISTEN_PID", "1")
        .env("LISTEN_FDNAMES", "other:names")
        .env("LISTEN_PIDFDID", "1")
        .wrapper(WITH_EXTRA_FDS)
        .start();
    server.wait_for_log(|line| line.starts_with("printed by worker 0: Ok"));
    server
}

#[test]
fn a_grandchild_has_no_variable_of_the_crate_and_keeps_similar_names() {
    let variables = grandchild().log();
    let value = |name: &str| {
        let mut variables = variables.iter();
        variables.find_map(|line| line.strip_prefix(&format!("{name}=")))
    };
    let removed = [
        "PREFORK_CHILD",
        "PREFORK_ADDRS",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "LISTEN_PIDFDID",
    ];
    for name in removed {
        assert_eq!(value(name), None, "{name}");
    }
    for name in ["MY_PREFORK_CHILD", "PREFORK_CHILD_SLOT", "LISTEN_FDS_START"] {
        assert_eq!(value(name), Some("stays"), "{name}");
    }
}

#[test]
fn a_grandchild_has_stdio_and_no_descriptor_of_the_crate() {
    let log = grandchild().log();
    // `ls -l` shows `… 0 -> /dev/null`, and the directory that it reads.
    let fds = log.iter().filter_map(|line| line.split_once(" -> "));
    let inherited = fds.filter(|(_, path)| !path.starts_with("/proc/"));
    let numbers = inherited.filter_map(|(entry, _)| entry.split(' ').next_back());
    let numbers: Vec<&str> = numbers.collect();
    assert_eq!(numbers, ["0", "1", "2"], "{log:?}");
}

#[test]
fn a_grandchild_has_no_signal_blocked_and_ignores_none_that_the_master_does_not() {
    let server = grandchild();
    let master = proc::signals(server.master_pid(), "SigIgn").expect("the master runs");
    let log = server.log();
    let mask = |name: &str| {
        let value = log
            .iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        u64::from_str_radix(value.expect(name), 16).expect(name)
    };
    assert_eq!(mask("SigBlk"), 0);
    // A master ignores SIGPIPE, as every Rust program does. It may have inherited more ignored
    // signals. The C library uses the two signals after the standard ones, and its posix_spawn(3)
    // ignores them in the new process.
    let internal = 0b11 << 31;
    assert_eq!(mask("SigIgn") & !master & !internal, 0);
    for signal in [
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGHUP,
        Signal::SIGTERM,
        Signal::SIGPIPE,
    ] {
        assert_eq!(mask("SigIgn") & (1 << (signal as i32 - 1)), 0, "{signal}");
    }
}
