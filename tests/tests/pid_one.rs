//! A server in a container: as PID 1 of a namespace, and without stdin, stdout and stderr.

use std::process::{Command, Stdio};

use nix::sys::signal::kill;
use nix::unistd::Pid;
use prefork_testkit::{Server, Signal, eventually};
use prefork_tests::client::{get, slot_and_pid};
use prefork_tests::proc;

const INIT: &str = env!("CARGO_BIN_EXE_init");
const HELLO: &str = env!("CARGO_BIN_EXE_hello");

/// The command that creates a PID namespace; `None` if this system does not permit it.
fn namespace() -> Option<Vec<&'static str>> {
    let as_root = vec!["unshare", "--pid", "--fork", "--mount-proc"];
    let as_user = [as_root.clone(), vec!["--user", "--map-root-user"]].concat();
    [as_root, as_user].into_iter().find(|command| {
        let mut attempt = Command::new(command[0]);
        attempt
            .args(&command[1..])
            .arg("true")
            .stderr(Stdio::null());
        attempt.status().is_ok_and(|status| status.success())
    })
}

#[test]
fn as_pid_1_it_serves_recovers_and_stops() {
    let Some(namespace) = namespace() else {
        println!("skipped: needs unshare(1) and the right to make a PID namespace");
        return;
    };
    let mut server = Server::new(HELLO)
        .env("PREFORK_WORKERS", "2")
        .wrapper(namespace)
        .start();
    assert!(
        server.log()[0].ends_with("(master pid 1)"),
        "{:?}",
        server.log()
    );
    server.wait_for_children(2);
    get(server.addr(), "/").expect("an answer");

    let killed = server.kill_child(0);
    eventually("another child in slot 0", || {
        server.child(0).filter(|child| child.pid != killed.pid)
    });
    eventually("an answer from slot 0", || {
        let (slot, _) = slot_and_pid(&get(server.addr(), "/").expect("a worker answers"))?;
        (slot == 0).then_some(())
    });

    assert_eq!(server.stop().code(), Some(0));
    assert_eq!(server.processes(), []);
}

#[test]
fn as_pid_1_its_death_leaves_no_process() {
    let Some(namespace) = namespace() else {
        println!("skipped: needs unshare(1) and the right to make a PID namespace");
        return;
    };
    let mut server = Server::new(HELLO)
        .env("PREFORK_WORKERS", "2")
        .wrapper(namespace)
        .start();
    server.wait_for_children(2);
    server.signal(Signal::SIGKILL);
    server.wait();
    eventually("the end of all", || {
        server.processes().is_empty().then_some(())
    });
}

#[test]
fn as_pid_1_a_stop_during_init_is_not_lost() {
    let Some(namespace) = namespace() else {
        println!("skipped: needs unshare(1) and the right to make a PID namespace");
        return;
    };
    for (role, workers, effect) in [
        ("master", "1", "stopping"),
        ("single", "0", "stopped before main was called"),
    ] {
        let (reader, writer) = std::io::pipe().expect("descriptors");
        let mut server = Server::new(INIT)
            .env("INIT", "read")
            .env("PREFORK_WORKERS", workers)
            .stdin(reader)
            .wrapper(namespace.clone())
            .spawn();
        server.wait_for_log(|line| line.starts_with(&format!("init of {role}")));
        let process = proc::children(server.master_pid())[0];
        kill(Pid::from_raw(process), Signal::SIGTERM).expect("the process runs");
        // `init` returns when its pipe is closed.
        drop(writer);
        assert_eq!(server.wait().code(), Some(0), "{role}");
        let log = server.final_log();
        let line = format!("SIGTERM from another PID namespace: {effect}");
        assert!(log.iter().any(|logged| logged.contains(&line)), "{log:?}");
        assert!(!log.contains(&"body".to_owned()), "{log:?}");
    }
}

/// A single process waits like a master for a port that is in use. No signal would end it by
/// default.
#[test]
fn as_pid_1_a_stop_ends_the_wait_of_a_single_process_for_its_address() {
    /// Under load, the test may miss the second in which the process retries to bind.
    const ATTEMPTS: usize = 10;
    let Some(namespace) = namespace() else {
        println!("skipped: needs unshare(1) and the right to make a PID namespace");
        return;
    };
    let owner = Server::new(HELLO).start();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let is_stopped = (0..ATTEMPTS).any(|_| {
            let mut late = Server::new(HELLO)
                .listen(owner.addr().to_string())
                .env("PREFORK_WORKERS", "0")
                .wrapper(namespace.clone())
                .spawn();
            let parent = late.master_pid();
            let waits = eventually("the wait, or its end", || {
                let process = proc::children(parent).first().copied();
                let waits = process.filter(|&pid| proc::has_thread(pid, "prefork-bind"));
                (waits.is_some() || !proc::is_alive(parent)).then_some(waits)
            });
            let is_sent = waits.is_some_and(|pid| kill(Pid::from_raw(pid), signal).is_ok());
            let status = late.wait();
            let line = format!(
                "prefork: {signal} from another PID namespace: stopped before the addresses were bound"
            );
            is_sent && status.code() == Some(0) && late.final_log() == [line]
        });
        assert!(is_stopped, "{signal}");
    }
}

#[test]
fn without_stdin_stdout_and_stderr_it_serves_and_stops() {
    let mut server = Server::new(HELLO)
        .env("PREFORK_WORKERS", "1")
        .wrapper(["sh", "-c", "exec \"$0\" \"$@\" 0<&- 1>&- 2>&-"])
        .spawn();
    // No line names the address, so the test reads it from the environment of a child.
    let child = server.wait_for_children(1)[0];
    let addrs = proc::variable(child.pid, "PREFORK_ADDRS").expect("the child has the variable");
    let (_, addr) = addrs.split_once('=').expect("name and address");
    let body = get(addr.parse().expect("an address"), "/").expect("an answer");
    assert_eq!(slot_and_pid(&body), Some((0, child.pid)));
    server.kill_child(0);
    let after = eventually("another child", || {
        server.child(0).filter(|other| other.pid != child.pid)
    });
    let body = get(addr.parse().expect("an address"), "/").expect("an answer");
    assert_eq!(slot_and_pid(&body), Some((0, after.pid)));
    assert_eq!(server.stop().code(), Some(0));
    assert_eq!(server.processes(), []);
    assert_eq!(server.final_log(), [""; 0]);
}
