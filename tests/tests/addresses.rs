//! Addresses of both families, of all interfaces and of one link: which of them a master serves
//! together, and which it rejects.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

use prefork::Addr;
use prefork_testkit::{Output, RunningServer, Server, reserve_port};
use prefork_tests::client::{answer, ask, get};

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const RAW_STD: &str = env!("CARGO_BIN_EXE_raw_std");
const TWO_LISTENERS: &str = env!("CARGO_BIN_EXE_two_listeners");
const OPEN_PORT: &str = env!("CARGO_BIN_EXE_open_port");

fn stop(mut server: RunningServer) {
    let status = server.stop();
    assert_eq!(status.code(), Some(0), "{:?}", server.final_log());
}

fn refused(listen: &str, network: Option<&str>) -> Output {
    let mut server = Server::new(TWO_LISTENERS).listen(listen);
    if let Some(network) = network {
        server = server.env("PREFORK_NETWORK", network);
    }
    server.run()
}

fn assert_refused(output: &Output, status: i32, named: &[&str]) {
    assert_eq!(output.code(), Some(status), "{:?}", output.log);
    let [line] = output.log.as_slice() else {
        panic!("not one line: {:?}", output.log);
    };
    for name in named {
        assert!(line.contains(name), "no '{name}' in: {line}");
    }
}

/// Whether this machine has `::1`.
fn has_ipv6() -> bool {
    let has = TcpListener::bind("[::1]:0").is_ok();
    if !has {
        println!("skipped: needs IPv6");
    }
    has
}

#[test]
fn both_families_are_served_at_one_port_in_either_order() {
    if !has_ipv6() {
        return;
    }
    for (http, admin, network) in [
        ("0.0.0.0:P", "[::]:P", None),
        ("[::]:P", "0.0.0.0:P", None),
        ("[::]:P", ":P", None),
        ("[::]:P", "127.0.0.1:P", None),
        ("tcp4://localhost:P", "[::1]:P", None),
        ("[::]:P", "[::ffff:127.0.0.1]:P", None),
        ("0.0.0.0:P", "[::]:P", Some("tcp")),
    ] {
        for reuseport in ["false", "true"] {
            let reserved = reserve_port();
            let port = reserved.port().to_string();
            let listen = format!("http={http},admin={admin}").replace('P', &port);
            let mut server = Server::new(TWO_LISTENERS)
                .listen(&listen)
                .env("PREFORK_REUSEPORT", reuseport);
            if let Some(network) = network {
                server = server.env("PREFORK_NETWORK", network);
            }
            let server = server.start();
            drop(reserved);
            for name in ["http", "admin"] {
                let addr = server.addr_of(name);
                let loopback = match addr.ip() {
                    IpAddr::V4(_) => "127.0.0.1".parse::<IpAddr>(),
                    IpAddr::V6(_) => "::1".parse::<IpAddr>(),
                };
                let to = SocketAddr::new(loopback.expect("valid"), addr.port());
                let body = get(to, "/").expect("an answer");
                assert_eq!(body, format!("{name}\n"), "{listen}");
            }
            stop(server);
        }
    }
}

/// A command under which the names `both.test` and `far.test` have two addresses each; `None` if
/// mounts are not permitted. The second address of `far.test` is one of another machine.
fn with_host_names(directory: &Path) -> Option<Vec<String>> {
    let hosts = directory.join("hosts");
    let names = [
        "127.0.0.1 both.test",
        "::1 both.test",
        "127.0.0.1 far.test",
        "2001:db8::1 far.test",
    ];
    std::fs::write(&hosts, names.join("\n")).expect("a temporary directory");
    let mount = format!("mount --bind {} /etc/hosts && exec \"$@\"", hosts.display());
    let as_root = vec!["unshare", "--mount"];
    let as_user = [as_root.clone(), vec!["--user", "--map-root-user"]].concat();
    let wrapper = [as_root, as_user].into_iter().find_map(|unshare| {
        let command = [unshare.as_slice(), &["sh", "-c", &mount, "sh"]].concat();
        let mut attempt = Command::new(command[0]);
        attempt
            .args(&command[1..])
            .args(["getent", "ahosts", "both.test"]);
        let found = attempt.stderr(Stdio::null()).output().ok()?;
        let found = String::from_utf8_lossy(&found.stdout).into_owned();
        let has_both = ["127.0.0.1", "::1"].iter().all(|ip| found.contains(ip));
        has_both.then(|| command.into_iter().map(str::to_owned).collect())
    });
    if wrapper.is_none() {
        println!("skipped: needs unshare(1) and the permission to mount");
    }
    wrapper
}

fn all_addresses(server: &RunningServer) -> Vec<SocketAddr> {
    let addrs = server.listeners()[0].addresses().iter();
    addrs.filter_map(Addr::socket_addr).collect()
}

#[test]
fn a_host_name_is_served_at_all_its_addresses_until_the_stop() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (true, Some(wrapper)) = (has_ipv6(), with_host_names(directory.path())) else {
        return;
    };
    // The first program is async, the second one blocking.
    for (program, name, listen) in [
        (HELLO, "listener", "listener=both.test:0"),
        (TWO_LISTENERS, "http", "http=both.test:0,admin=127.0.0.1:0"),
    ] {
        for reuseport in ["false", "true"] {
            let server = Server::new(program)
                .listen(listen)
                .env("PREFORK_WORKERS", "2")
                .env("PREFORK_REUSEPORT", reuseport)
                .wrapper(wrapper.clone())
                .start();
            let addrs = all_addresses(&server);
            let [one, other] = addrs[..] else {
                panic!("{addrs:?}");
            };
            assert_eq!(one.port(), other.port());
            assert_ne!(one.is_ipv4(), other.is_ipv4());
            let announced = format!("{name}={one},{name}={other}");
            server.wait_for_log(|line| line.contains(&format!("listening on {announced}")));
            let child = server.wait_for_children(2)[0];
            let addrs = prefork_tests::proc::variable(child.pid, "PREFORK_ADDRS");
            assert!(addrs.is_some_and(|addrs| addrs.starts_with(&announced)));
            for _ in 0..20 {
                get(one, "/").expect("an answer");
                get(other, "/").expect("an answer");
            }
            server.kill_child(0);
            let waiting = [one, other, one, other].map(|addr| ask(addr, "/").expect("a queue"));
            for client in waiting {
                answer(client).expect("the other worker, or the replacement");
            }
            stop(server);
            for addr in [one, other] {
                TcpListener::bind(addr).expect("the address is free");
            }
        }
    }
}

#[test]
fn an_ipv6_address_of_a_host_name_that_the_machine_does_not_have_is_left_out() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let Some(wrapper) = with_host_names(directory.path()) else {
        return;
    };
    let server = Server::new(HELLO)
        .listen("listener=far.test:0")
        .wrapper(wrapper)
        .start();
    server.wait_for_log(|line| {
        line.contains("listener 'listener' does not listen at [2001:db8::1]:")
    });
    assert_eq!(all_addresses(&server).len(), 1);
    get(server.addr(), "/").expect("an answer");
    stop(server);
}

#[test]
fn a_program_that_takes_one_socket_refuses_a_name_with_several_addresses() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let Some(wrapper) = with_host_names(directory.path()) else {
        return;
    };
    for explains in [false, true] {
        let mut server = Server::new(RAW_STD).listen("both.test:0");
        if explains {
            server = server.env("PREFORK_EXPLAIN", "1");
        }
        let output = server.wrapper(wrapper.clone()).run();
        assert_eq!(output.code(), Some(78), "{:?}", output.log);
        let text = format!("{}{}", output.log.join("\n"), output.text());
        for part in [
            "both.test:0' has 2 addresses",
            "127.0.0.1:0",
            "[::1]:0",
            "one socket",
        ] {
            assert!(text.contains(part), "no '{part}' in: {text}");
        }
    }
}

#[test]
fn a_port_that_the_platform_gives_to_both_families_is_served() {
    if !has_ipv6() {
        return;
    }
    let reserved = reserve_port();
    let server = Server::new(OPEN_PORT)
        .listen("http=0.0.0.0,admin=[::]")
        .env("PORT", reserved.port().to_string())
        .env("PREFORK_WORKERS", "1")
        .start();
    assert_eq!(
        server.addr_of("http").port(),
        server.addr_of("admin").port()
    );
    stop(server);
}

#[test]
fn an_address_that_another_one_covers_is_refused_before_anything_is_bound() {
    // The port is taken: if the master bound anything, it would log a different error.
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = holder.local_addr().expect("bound").port().to_string();
    for (http, admin, all, network) in [
        ("0.0.0.0:P", "127.0.0.1:P", "http", None),
        ("127.0.0.1:P", "0.0.0.0:P", "admin", None),
        (":P", "127.0.0.1:P", "http", None),
        (":P", "localhost:P", "http", None),
        ("localhost:P", "0.0.0.0:P", "admin", None),
        ("[::]:P", "[::1]:P", "http", None),
        ("[::1]:P", ":P", "admin", Some("tcp6")),
        ("0.0.0.0:P", "[::ffff:127.0.0.1]:P", "http", None),
    ] {
        let listen = format!("http={http},admin={admin}").replace('P', &port);
        let output = refused(&listen, network);
        let covers = format!("PREFORK_LISTEN: '{all}=");
        assert_refused(
            &output,
            78,
            &[&covers, "covers", "remove one or change its port"],
        );
    }
    let twice = format!("http=tcp4://localhost:{port},admin=127.0.0.1:{port}");
    let named = ["PREFORK_LISTEN", "(127.0.0.1:", "are the same address"];
    assert_refused(&refused(&twice, None), 78, &named);
}

#[test]
fn an_explanation_refuses_the_same_addresses_as_a_start_and_prints_the_family() {
    let explain = |listen: &str| {
        Server::new(TWO_LISTENERS)
            .listen(listen)
            .env("PREFORK_EXPLAIN", "1")
            .run()
    };
    let output = explain("http=localhost:81,admin=0.0.0.0:81");
    assert_eq!(output.code(), Some(78), "{:?}", output.log);
    assert!(output.text().contains("'admin=0.0.0.0:81' covers"));

    let output = explain("http=0.0.0.0:81,admin=[::]:81");
    assert_eq!(output.code(), Some(0), "{:?}", output.log);
    assert!(
        output
            .text()
            .contains("[::]:81, IPv6 only, shared by 2 workers"),
        "{}",
        output.text()
    );
}

#[test]
fn port_zero_never_collides() {
    let server = Server::new(TWO_LISTENERS)
        .listen("http=0.0.0.0:0,admin=127.0.0.1:0")
        .start();
    assert_ne!(
        server.addr_of("http").port(),
        server.addr_of("admin").port()
    );
    stop(server);
}

/// A link-local address of this machine that can be bound, with the name and the number of its
/// interface.
fn link_local() -> Option<(String, String, u32)> {
    // A line has address, number, prefix length, scope, flags and name (proc(5)).
    let table = std::fs::read_to_string("/proc/net/if_inet6").ok()?;
    let rows = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() == 6 && row[3] == "20")
        .find_map(|row| {
            let digits: Vec<char> = row[0].chars().collect();
            let groups: Vec<String> = digits
                .chunks(4)
                .map(|group| group.iter().collect())
                .collect();
            let ip: std::net::Ipv6Addr = groups.join(":").parse().ok()?;
            let number = u32::from_str_radix(row[1], 16).ok()?;
            let addr = std::net::SocketAddrV6::new(ip, 0, 0, number);
            TcpListener::bind(addr).ok()?;
            Some((ip.to_string(), row[5].to_owned(), number))
        })
}

#[test]
fn a_link_local_address_is_served_in_its_zone() {
    let Some((ip, name, number)) = link_local() else {
        println!("skipped: needs an interface with a link-local address");
        return;
    };
    for zone in [name, number.to_string()] {
        for reuseport in ["false", "true"] {
            // Two workers: each of them parses the address again.
            let server = Server::new(HELLO)
                .listen(format!("listener=[{ip}%{zone}]:0"))
                .env("PREFORK_WORKERS", "2")
                .env("PREFORK_REUSEPORT", reuseport)
                .start();
            let SocketAddr::V6(addr) = server.addr() else {
                panic!("not IPv6: {}", server.addr());
            };
            assert_eq!(addr.scope_id(), number);
            get(addr.into(), "/").expect("an answer");
            let child = server.wait_for_children(2)[0];
            let addrs = prefork_tests::proc::variable(child.pid, "PREFORK_ADDRS");
            assert_eq!(addrs, Some(format!("listener={addr}")));
            stop(server);
        }
    }
}

#[test]
fn a_zone_without_an_interface_is_refused_by_its_name() {
    for zone in ["no-such-zone", "4294967295"] {
        let output = Server::new(HELLO)
            .listen(format!("listener=[fe80::1%{zone}]:80"))
            .run();
        let no_interface = format!("no interface {zone}");
        assert_refused(&output, 68, &["'listener'", &no_interface, "`ip link`"]);
    }
    for (listen, named) in [
        (
            "[fe80::1]:80",
            "is a link-local address without a zone, expected [fe80::1%eth0]:80",
        ),
        (
            "[::1%lo]:80",
            "only link-local addresses (fe80::/10) have a zone",
        ),
        (
            "[fe80::1%]:80",
            "expected the name or the number of an interface",
        ),
    ] {
        let output = Server::new(HELLO).listen(listen).run();
        assert_refused(&output, 78, &["PREFORK_LISTEN: ", listen, named]);
    }
}

#[test]
fn an_error_in_a_replaced_value_is_not_reported() {
    let output = Server::new(HELLO)
        .listen("nonsense:x")
        .env("PREFORK_NETWORK", "tcp6")
        .run();
    assert_refused(
        &output,
        78,
        &["PREFORK_LISTEN: 'nonsense:x' has the port 'x'"],
    );
    assert!(
        !output.text().contains("PREFORK_NETWORK"),
        "{:?}",
        output.log
    );
}
