//! The example of the hooks runs without changes.

use nix::sys::signal::kill;
use nix::unistd::Pid;
use prefork_testkit::{Server, Signal, eventually};
use prefork_tests::client::get;

const HOOKS: &str = env!("CARGO_BIN_EXE_example_hooks");

/// As with `hooks 2>file | head -1`: a hook that writes to a closed stdout must not end the master.
#[test]
fn the_hooks_outlive_a_closed_stdout() {
    let server = Server::new(HOOKS)
        .env("PREFORK_WORKERS", "1")
        .wrapper(["sh", "-c", r#""$@" | head -n 1"#, "sh"])
        .start();
    let addr = server.addr();
    let line = server.wait_for_log(|line| line.starts_with("spawn: "));
    let pid = |line: &str| line.split(' ').nth(1).and_then(|pid| pid.parse().ok());
    let mut victim: i32 = pid(&line).expect("the pid of the worker");
    eventually("the end of head", || {
        let has_head = server.processes().iter().any(|pid| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name == "head\n")
        });
        (!has_head).then_some(())
    });
    for _ in 0..2 {
        kill(Pid::from_raw(victim), Signal::SIGKILL).expect("the worker runs");
        let end = format!("started, replacing pid {victim}");
        let line = server.wait_for_log(|line| line.ends_with(&end));
        let pid = line
            .split("(pid ")
            .nth(1)
            .and_then(|rest| rest.split(')').next());
        victim = pid
            .and_then(|pid| pid.parse().ok())
            .expect("the pid of the new worker");
    }
    assert_eq!(get(addr, "/").expect("an answer"), "hello from red\n");
}

#[test]
fn the_hooks_print_the_events() {
    let mut server = Server::new(HOOKS).start();
    let addr = server.addr();
    let names = ["hello from red\n", "hello from green\n"];
    assert!(names.contains(&get(addr, "/").expect("an answer").as_str()));

    server.wait_for_log(|line| line.starts_with("ready: ["));
    let killed = server.kill_child(1);
    server.wait_for_log(|line| {
        line.starts_with("recover: ") && line.ends_with(&format!(" replaces {}", killed.pid))
    });
    let spawns = server
        .log()
        .into_iter()
        .filter(|line| line.starts_with("spawn: "));
    assert_eq!(spawns.count(), 3);
    eventually("an answer of the replacement", || {
        (get(addr, "/").ok()? == names[1]).then_some(())
    });

    server.signal(Signal::SIGKILL);
    server.wait();
    let log = server.final_log();
    let deaths = log.iter().filter(|line| line.starts_with("master death: "));
    assert_eq!(deaths.count(), 2, "{log:#?}");
}
