//! A worker that dies while a debugger or strace holds it: a zombie that its master cannot reap.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use prefork_testkit::{RunningServer, Server, Signal, eventually};
use prefork_tests::client::{get, slot_and_pid};
use prefork_tests::proc;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const SHELL: &str = env!("CARGO_BIN_EXE_parity_shell");
const TRACER: &str = env!("CARGO_BIN_EXE_tracer");

/// Starts a tracer of this process and waits until it is attached; `None` if that is not permitted.
///
/// When the stdin of the tracer is closed, the tracer exits and thereby detaches.
fn trace(pid: i32) -> Option<Tracer> {
    let mut tracer = Command::new(TRACER)
        .arg(pid.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the tracer is built with the tests");
    let own = u64::from(tracer.id());
    let is_attached = eventually("the tracer, or its end", || {
        if tracer.try_wait().expect("a child process").is_some() {
            return Some(false);
        }
        (proc::status(pid, "TracerPid") == Some(own)).then_some(true)
    });
    if !is_attached {
        println!("skipped: needs ptrace");
        return None;
    }
    Some(Tracer(tracer))
}

struct Tracer(Child);

impl Tracer {
    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn detach(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().expect("a child process");
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_held(pid: i32) -> Option<()> {
    // The other threads of the process have ended, and no process has reaped it.
    proc::is_zombie(pid).then_some(())
}

/// Asserts that the master does not run at all for half a second.
fn assert_sleeps(server: &RunningServer) {
    let count = || proc::context_switches(server.master_pid()).expect("the process runs");
    let is_quiet = || {
        let before = count();
        thread::sleep(Duration::from_millis(500));
        count() - before
    };
    // Under load, the kernel may preempt the master once. A master that polls never sleeps.
    let quiet = (0..10).any(|_| is_quiet() == 0);
    assert!(quiet, "the master does not sleep; {:#?}", server.log());
}

#[test]
fn the_master_sleeps_until_the_tracer_of_a_killed_worker_detaches_and_then_replaces_it() {
    let server = Server::new(HELLO).env("PREFORK_WORKERS", "1").start();
    get(server.addr(), "/").expect("an answer");
    let worker = server.wait_for_children(1)[0];
    let Some(tracer) = trace(worker.pid) else {
        return;
    };
    server.kill_child(0);
    eventually("the end of the worker", || is_held(worker.pid));
    let expected = format!(
        "prefork: worker 0 (pid {}) was killed, but cannot be reaped until its tracer (pid {}) detaches",
        worker.pid,
        tracer.pid()
    );
    server.wait_for_log(|line| line.starts_with(&expected));
    assert_sleeps(&server);
    assert_eq!(lines_about_tracers(&server), 1);

    tracer.detach();
    let replacement = server.wait_for_replacement(worker);
    let body = eventually("an answer", || get(server.addr(), "/").ok());
    assert_eq!(slot_and_pid(&body), Some((0, replacement.pid)));
    let end = format!(
        "prefork: worker 0 (pid {}) was killed by SIGKILL",
        worker.pid
    );
    server.wait_for_log(|line| line.starts_with(&end));
    assert_eq!(lines_about_tracers(&server), 1);
    assert_eq!(proc::zombies_of(server.master_pid()), [0; 0]);
}

/// A program with one thread and without the crate, held as `gdb` holds it.
#[test]
fn a_foreign_worker_that_exits_while_it_is_traced_is_recovered_too() {
    let server = Server::new(SHELL)
        .arg("trap 'exit 3' USR1; while :; do sleep 0.01; done")
        .env("PREFORK_WORKERS", "1")
        .spawn();
    let line = server.wait_for_log(|line| line.starts_with("spawned "));
    let pid: i32 = line["spawned ".len()..].parse().expect("a pid");
    eventually("the trap", || {
        let bit = 1 << (Signal::SIGUSR1 as u32 - 1);
        let caught = proc::signals(pid, "SigCgt")?;
        (caught & bit != 0).then_some(())
    });
    let Some(tracer) = trace(pid) else {
        return;
    };
    // The tracer would have to pass on any other signal. SIGKILL takes effect without it.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).expect("a process");
    server.wait_for_log(|line| line.contains("cannot be reaped until its tracer"));
    assert_sleeps(&server);
    tracer.detach();
    server.wait_for_log(|line| line.starts_with("spawned ") && !line.ends_with(&format!(" {pid}")));
}

fn lines_about_tracers(server: &RunningServer) -> usize {
    let log = server.log();
    log.iter()
        .filter(|line| line.contains("its tracer"))
        .count()
}
