//! With `pin_cpus`, each worker runs on one CPU, and gets the connections that this CPU receives.

use std::thread;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use prefork_testkit::{RunningServer, Server, eventually};
use prefork_tests::client::{get, slot_and_pid};
use prefork_tests::{READY, proc};

const FILTERED: &str = env!("CARGO_BIN_EXE_filtered");
const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const PARITY_SHELL: &str = env!("CARGO_BIN_EXE_parity_shell");
const STANDBY: &str = env!("CARGO_BIN_EXE_standby");

/// This process, in calls for its first thread or for the calling one.
const THIS: Pid = Pid::from_raw(0);

/// The CPUs that this test, and so a server, may use.
fn usable_cpus() -> Vec<usize> {
    let mask = sched_getaffinity(THIS).expect("at most 1024 CPUs");
    let is_set = |cpu: &usize| mask.is_set(*cpu).unwrap_or(false);
    (0..CpuSet::count()).filter(is_set).collect()
}

fn pinned(program: &str) -> Server {
    Server::new(program)
        .env("PREFORK_WORKERS", "2")
        .env("PREFORK_PIN_CPUS", "true")
}

/// Waits until all threads of the process run on this CPU only.
#[track_caller]
fn assert_runs_on(pid: i32, cpu: usize) {
    let cpu = cpu.to_string();
    eventually("a process on one CPU", || {
        let threads = proc::cpus_of_threads(pid);
        let is_pinned = !threads.is_empty() && threads.iter().all(|cpus| *cpus == cpu);
        is_pinned.then_some(())
    });
}

fn lines_about_cpus(server: &RunningServer) -> Vec<String> {
    let log = server.log().into_iter();
    log.filter(|line| line.contains("pin_cpus")).collect()
}

/// Waits for the line, and returns it. There is no other one.
#[track_caller]
fn only_line(server: &RunningServer) -> String {
    let line = server.wait_for_log(|line| line.contains("pin_cpus"));
    assert_eq!(lines_about_cpus(server), [line.as_str()]);
    line
}

#[test]
fn every_thread_of_a_worker_runs_on_the_cpu_of_its_slot_also_after_a_kill() {
    let cpus = usable_cpus();
    let server = pinned(HELLO).env("PREFORK_RUNTIME_THREADS", "3").start();
    let workers = server.wait_for_children(2);
    for worker in &workers {
        assert_runs_on(worker.pid, cpus[worker.slot % cpus.len()]);
    }
    let own = proc::cpus_of_threads(server.master_pid());
    let all = proc::cpus_of_threads(std::process::id().try_into().expect("a pid"));
    assert_eq!(own[..1], all[..1], "the master runs on any CPU");
    let killed = server.kill_child(1);
    let replacement = server.wait_for_replacement(killed);
    assert_runs_on(replacement.pid, cpus[1 % cpus.len()]);
    assert_eq!(lines_about_cpus(&server), [""; 0]);
}

#[test]
fn a_program_without_prefork_runs_on_the_cpu_of_its_slot() {
    let cpus = usable_cpus();
    let server = pinned(PARITY_SHELL).arg("exec sleep 1000").start();
    for child in server.wait_for_children(2) {
        assert_runs_on(child.pid, cpus[child.slot % cpus.len()]);
    }
}

/// The pid of the standby, when it is ready.
fn ready_standby(server: &RunningServer) -> i32 {
    let first = format!("{READY} 1 ");
    let line = server.wait_for_log(|line| line.starts_with(&first));
    line[first.len()..].trim().parse().expect("a pid")
}

fn with_standby() -> Server {
    pinned(STANDBY).env("PREFORK_WORKERS", "1")
}

#[test]
fn a_standby_runs_on_any_cpu_and_then_on_that_of_its_slot() {
    let server = with_standby().start();
    let standby = ready_standby(&server);
    let all = proc::cpus_of_threads(server.master_pid());
    assert_eq!(proc::cpus_of_threads(standby)[0], all[0]);
    server.kill_child(0);
    let body = get(server.addr(), "/").expect("an answer");
    assert_eq!(slot_and_pid(&body), Some((0, standby)));
    assert_runs_on(standby, usable_cpus()[0]);
    assert_eq!(lines_about_cpus(&server), [""; 0]);
}

#[test]
fn a_promoted_standby_that_cannot_be_pinned_serves_and_is_one_line() {
    let server = with_standby()
        .wrapper([FILTERED, "sched_setaffinity_by_id", "EPERM"])
        .start();
    let standby = ready_standby(&server);
    server.kill_child(0);
    let body = get(server.addr(), "/").expect("an answer");
    assert_eq!(slot_and_pid(&body), Some((0, standby)));
    let cpu = usable_cpus()[0];
    let expected = format!(
        "prefork: worker 0 (pid {standby}) runs on any CPU: it cannot be pinned to CPU {cpu} \
         (pin_cpus = true): Operation not permitted (os error 1) (sched_setaffinity)"
    );
    assert_eq!(only_line(&server), expected);
}

/// `EINVAL` is the error for a CPU that is gone.
#[test]
fn workers_that_cannot_be_pinned_serve_and_are_one_line_per_cause() {
    for (errno, causes) in [("EPERM", 1), ("EINVAL", usable_cpus().len().min(2))] {
        let server = pinned(HELLO)
            .wrapper([FILTERED, "sched_setaffinity", errno])
            .start();
        let killed = server.kill_child(1);
        server.wait_for_replacement(killed);
        get(server.addr(), "/").expect("an answer");
        let lines = lines_about_cpus(&server);
        assert_eq!(lines.len(), causes, "{lines:#?}");
        for (slot, line) in lines.iter().enumerate() {
            let start = format!("prefork: worker {slot} (pid ");
            assert!(line.starts_with(&start), "{line}");
        }
    }
}

#[test]
fn a_call_that_kills_the_workers_is_named() {
    let output = pinned(HELLO)
        .wrapper([FILTERED, "sched_setaffinity", "KILL"])
        .run();
    assert!(!output.status.success());
    let names_call = |line: &String| line.contains("sched_setaffinity");
    assert!(output.log.iter().any(names_call), "{:#?}", output.log);
}

#[test]
fn a_mask_that_cannot_be_read_is_one_line() {
    let server = pinned(HELLO)
        .wrapper([FILTERED, "sched_getaffinity", "EPERM"])
        .start();
    get(server.addr(), "/").expect("an answer");
    let expected = "prefork: pin_cpus = true has no effect: the usable CPUs cannot be read \
                    (sched_getaffinity): Operation not permitted (os error 1)";
    assert_eq!(only_line(&server), expected);
}

#[test]
fn more_workers_than_cpus_share_them_and_have_no_filter() {
    let cpu = usable_cpus()[0];
    for (reuseport, lines) in [("true", 1), ("false", 0)] {
        let server = pinned(HELLO)
            .env("PREFORK_REUSEPORT", reuseport)
            .wrapper(["taskset", "-c", &cpu.to_string()])
            .start();
        for worker in server.wait_for_children(2) {
            assert_runs_on(worker.pid, cpu);
        }
        get(server.addr(), "/").expect("an answer");
        let expected = "prefork: pin_cpus = true: 2 workers share 1 CPU, so the kernel distributes \
                        connections to workers by a hash";
        assert_eq!(lines_about_cpus(&server), vec![expected; lines]);
    }
}

#[test]
fn a_filter_that_is_rejected_is_one_line_and_the_server_serves() {
    if usable_cpus().len() < 2 {
        println!("skipped: needs 2 CPUs");
        return;
    }
    let server = pinned(HELLO)
        .env("PREFORK_REUSEPORT", "1")
        .wrapper([FILTERED, "SO_ATTACH_REUSEPORT_CBPF", "EPERM"])
        .start();
    get(server.addr(), "/").expect("an answer");
    let addr = server.addr();
    let expected = format!(
        "prefork: pin_cpus = true: no filter by CPU can be attached to {addr} (setsockopt, \
         SO_ATTACH_REUSEPORT_CBPF): Operation not permitted (os error 1), so the kernel \
         distributes connections to workers by a hash"
    );
    assert_eq!(only_line(&server), expected);
}

/// The packets of a client on the same machine are received on the CPU of the client.
#[test]
fn a_connection_goes_to_the_worker_on_the_cpu_that_receives_it() {
    let cpus = usable_cpus();
    if cpus.len() < 2 {
        println!("skipped: needs 2 CPUs");
        return;
    }
    let server = pinned(HELLO).env("PREFORK_REUSEPORT", "1").start();
    let addr = server.addr();
    for slot in [0, 1] {
        let mut mask = CpuSet::new();
        mask.set(cpus[slot]).expect("a CPU of a mask");
        let client = thread::spawn(move || {
            sched_setaffinity(THIS, &mask).expect("a usable CPU");
            let slot_of = |_| slot_and_pid(&get(addr, "/").expect("an answer"));
            (0..50).filter_map(slot_of).map(|(slot, _)| slot).collect()
        });
        let slots: Vec<usize> = client.join().expect("all requests are answered");
        assert_eq!(slots, [slot; 50]);
    }
    assert_eq!(lines_about_cpus(&server), [""; 0]);
}

#[test]
fn a_single_process_ignores_the_option_in_one_line() {
    let server = pinned(HELLO).env("PREFORK_WORKERS", "0").start();
    let pid = server.master_pid();
    let all = proc::cpus_of_threads(std::process::id().try_into().expect("a pid"));
    assert_eq!(proc::cpus_of_threads(pid)[0], all[0]);
    let expected =
        "prefork: ignoring pin_cpus = true: a single process is not pinned (workers = 0)";
    assert_eq!(only_line(&server), expected);
}
