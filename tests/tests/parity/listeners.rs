//! P5, P6, P24, P27, P29: the addresses of listeners, and their sockets.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prefork::{Error, ListenerInfo, Prefork};
use prefork_testkit::{RunningServer, Server, Signal, eventually};
use prefork_tests::client::{answer, ask, get, slot_and_pid};
use prefork_tests::proc;

use crate::support::{REST, fd, master, sockets, start, stop};

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const HOOKS: &str = env!("CARGO_BIN_EXE_parity_hooks");

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// The IP addresses that a master binds with these options.
fn bound(network: Option<&str>, address: &str) -> Result<Vec<IpAddr>, Error> {
    let (mut prefork, _) = master(1, REST);
    prefork = prefork.listen(address);
    if let Some(network) = network {
        prefork = prefork.network(network);
    }
    let master = prefork.start()?;
    let addrs = master.listeners()[0].addresses().iter();
    let ips = addrs.filter_map(|addr| Some(addr.socket_addr()?.ip()));
    let ips = ips.collect();
    stop(master);
    Ok(ips)
}

#[test]
fn p05_by_default_an_ip_address_determines_its_family_and_a_name_has_all_of_its_addresses() {
    for (address, ip) in [("127.0.0.1:0", V4), ("[::1]:0", V6)] {
        assert_eq!(bound(None, address).expect(address), [ip], "{address}");
    }
    let of_name = bound(None, "localhost:0").expect("every machine has the name");
    assert!(of_name.contains(&V4), "{of_name:?}");
}

#[test]
fn p05_network_chooses_the_family() {
    for (network, address, ip) in [
        ("tcp4", "127.0.0.1:0", V4),
        ("tcp4", "localhost:0", V4),
        ("tcp6", "[::1]:0", V6),
        ("tcp", "127.0.0.1:0", V4),
        ("tcp", "[::1]:0", V6),
    ] {
        let ips = bound(Some(network), address).expect(address);
        assert_eq!(ips, [ip], "{network} {address}");
    }
}

#[test]
fn p05_an_address_of_another_family_is_an_error() {
    for (network, address) in [("tcp4", "[::1]:0"), ("tcp6", "127.0.0.1:0")] {
        let error = bound(Some(network), address).expect_err("the families differ");
        let status = error.exit_code();
        assert!([68, 78].contains(&status), "{network} {address}: {error}");
    }
    let error = bound(Some("udp"), "127.0.0.1:0").expect_err("an unknown family");
    assert_eq!(error.exit_code(), 78);
    assert!(error.to_string().contains("network"), "{error}");
}

fn hello(reuseport: &str) -> RunningServer {
    Server::new(HELLO)
        .env("PREFORK_WORKERS", "2")
        .env("PREFORK_REUSEPORT", reuseport)
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "1m")
        .start()
}

/// The socket at descriptor 3, which is the first listener.
fn first_socket(pid: i32) -> String {
    let path = fd(pid, 3).expect("a child has its listener");
    path.display().to_string()
}

#[test]
fn p06_the_listener_of_all_children_is_descriptor_3() {
    let server = hello("false");
    let children = server.wait_for_children(2);
    let one = first_socket(children[0].pid);
    assert_eq!(first_socket(children[1].pid), one);
    assert!(sockets(server.master_pid()).contains(&one));
}

#[test]
fn p06_with_reuseport_each_slot_has_a_socket_of_its_own_that_the_master_owns() {
    let server = hello("1");
    let children = server.wait_for_children(2);
    let own: Vec<String> = children.iter().map(|c| first_socket(c.pid)).collect();
    assert_ne!(own[0], own[1]);
    let masters = sockets(server.master_pid());
    assert!(own.iter().all(|socket| masters.contains(socket)));
    // A child does not have the socket of another slot.
    assert!(!sockets(children[0].pid).contains(&own[1]));

    // A replacement has the socket of its slot, and so its queue.
    let killed = server.kill_child(1);
    let after = eventually("another child in slot 1", || {
        server.child(1).filter(|child| child.pid != killed.pid)
    });
    assert_eq!(first_socket(after.pid), own[1]);
}

/// A hundred clients wait in the queues of workers that are halted, then killed.
fn waiting_clients_are_answered(reuseport: &str) {
    let server = hello(reuseport);
    let halted = server.wait_for_children(2);
    get(server.addr(), "/").expect("an answer");
    for child in &halted {
        server.signal_child(child.slot, Signal::SIGSTOP);
        eventually("the worker's halt", || {
            proc::is_stopped(child.pid).then_some(())
        });
    }
    let waiting: Vec<_> = (0..100)
        .map(|_| ask(server.addr(), "/").expect("the queue has space"))
        .collect();
    for child in &halted {
        server.kill_child(child.slot);
    }
    let mut slots = BTreeSet::new();
    for client in waiting {
        let body = answer(client).expect("a waiting client is answered");
        let (slot, pid) = slot_and_pid(&body).expect("a worker's answer");
        assert!(halted.iter().all(|dead| dead.pid != pid), "{body}");
        slots.insert(slot);
    }
    if reuseport == "true" {
        assert_eq!(slots.len(), 2, "both queues must have had clients");
    }
}

#[test]
fn p06_a_hundred_clients_in_the_shared_queue_of_killed_workers_are_answered() {
    waiting_clients_are_answered("false");
}

#[test]
fn p06_a_hundred_clients_in_the_queues_of_killed_workers_are_answered_per_slot() {
    waiting_clients_are_answered("true");
}

/// Sets one option of the builder.
fn set_option(prefork: Prefork, option: &str, value: &str) -> Prefork {
    match option {
        "listen" => prefork.listen(value.split(',').map(str::to_owned).collect::<Vec<_>>()),
        "workers" => prefork.workers(value),
        "network" => prefork.network(value),
        "recover_window" => prefork.recover_window(value),
        "recover_interval" => prefork.recover_interval(value),
        "shutdown_grace_period" => prefork.shutdown_grace_period(value),
        "ready_timeout" => prefork.ready_timeout(value),
        _ => panic!("unknown option {option}"),
    }
}

#[test]
fn p24_what_is_malformed_is_an_error_before_any_child_is_started() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = format!("127.0.0.1:0,{}", holder.local_addr().expect("an address"));
    for (option, value, status) in [
        ("listen", "definitely not an address", 78),
        ("listen", "127.0.0.1", 78),
        ("listen", "127.0.0.1:65536", 78),
        ("listen", "a=127.0.0.1:0,a=127.0.0.1:0", 78),
        ("listen", "no-such-host.invalid:0", 68),
        ("listen", &taken, 69),
        ("workers", "many", 78),
        ("network", "tcp5", 78),
        ("recover_window", "never", 78),
        ("recover_interval", "5", 78),
        ("shutdown_grace_period", "soon", 78),
        ("ready_timeout", "-1s", 78),
    ] {
        let starts = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&starts);
        let mut prefork = Prefork::new().workers(1).child_producer(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Err("no child was wanted")
        });
        prefork = set_option(prefork, option, value);
        let error = prefork.start().expect_err(value);
        assert_eq!(error.exit_code(), status, "{option} {value}: {error}");
        assert_eq!(starts.load(Ordering::Relaxed), 0, "{option} {value}");
    }
}

#[test]
fn p27_port_zero_is_known_to_handle_hooks_workers_and_foreign_programs() {
    // In the handle and in the environment of a foreign program.
    let (mut prefork, _) = master(1, REST);
    prefork = prefork.listen(["http=127.0.0.1:0", "admin=127.0.0.1:0"]);
    let (prefork, calls) = crate::support::record_hooks(prefork);
    let master = start(prefork);
    let pid = crate::support::spawned(&calls.wait("the child, announced", 2))[0];
    let listeners = master.listeners().to_vec();
    let has_port = |listener: &ListenerInfo| listener.socket_addr().is_some_and(|a| a.port() != 0);
    assert!(listeners.iter().all(has_port), "{listeners:?}");
    let expected = format!("{},{}", listeners[0], listeners[1]);
    assert!(expected.starts_with("http=127.0.0.1:"), "{expected}");
    assert_eq!(proc::variable(pid, "PREFORK_ADDRS"), Some(expected));
    assert_eq!(proc::variable(pid, "LISTEN_FDS"), Some("2".to_owned()));
    let names = proc::variable(pid, "LISTEN_FDNAMES");
    assert_eq!(names, Some("http:admin".to_owned()));
    stop(master);

    // In the log, in a hook and in a worker.
    let mut server = Server::new(HOOKS).start();
    let addr = server.addr();
    assert_ne!(addr.port(), 0);
    let expected = format!(" on listener0={addr}");
    server.wait_for_log(|line| line.starts_with("ready ") && line.ends_with(&expected));
    server.wait_for_log(|line| line.starts_with("worker 0") && line.ends_with(&expected));
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn p29_errors_about_an_inherited_listener_name_it_and_its_descriptor() {
    let cases = [
        ("3<&-", "not open"),
        ("3</dev/null", "not a socket"),
        ("3<&0", "not a listening socket"),
    ];
    for (prepare, reason) in cases {
        let (one, _other) = std::os::unix::net::UnixStream::pair().expect("descriptors");
        let script = format!("export LISTEN_PID=$$; exec {prepare} \"$@\"");
        let output = Server::new(HELLO)
            .env("PREFORK_CHILD", "1:0:1:4")
            .env("LISTEN_FDS", "1")
            .env("LISTEN_FDNAMES", "http")
            .env("PREFORK_ADDRS", "http=127.0.0.1:1")
            .stdin(one)
            .wrapper(["sh", "-c", &script, "sh"])
            .run();
        assert_eq!(output.code(), Some(76), "{}", output.text());
        assert!(
            output.text().contains("listener 'http' (fd 3): ") && output.text().contains(reason),
            "{}",
            output.text()
        );
    }
}
