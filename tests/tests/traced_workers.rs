//! If a debugger holds a worker, the master cannot reap it after SIGKILL until the tracer detaches.

use std::fs;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use nix::sys::ptrace;
use nix::unistd::Pid;
use prefork_testkit::{ChildInfo, Server, Signal, eventually};
use prefork_tests::client::get;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");

/// A thread that traces processes. When the thread ends, the kernel detaches it from them.
struct Tracer {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Tracer {
    /// Attaches to each thread of the processes, as a debugger does.
    ///
    /// # Errors
    /// The system does not permit tracing.
    fn attach(children: Vec<ChildInfo>) -> nix::Result<Self> {
        let (result, is_attached) = channel();
        let (end, is_over) = channel::<()>();
        let thread = thread::spawn(move || {
            let attached = children.into_iter().try_for_each(seize);
            let _ = result.send(attached);
            let _ = is_over.recv();
        });
        is_attached.recv().expect("the thread sends the result")?;
        Ok(Self {
            end: Some(end),
            thread: Some(thread),
        })
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.end = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn seize(child: ChildInfo) -> nix::Result<()> {
    let threads = fs::read_dir(format!("/proc/{}/task", child.pid)).expect("the process runs");
    let ids = threads.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    for id in ids {
        ptrace::seize(Pid::from_raw(id), ptrace::Options::empty())?;
    }
    Ok(())
}

#[test]
fn a_stop_waits_for_all_traced_workers_until_one_deadline() {
    let mut server = Server::new(HELLO)
        .env("PREFORK_WORKERS", "3")
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "1s")
        .start();
    let children = server.wait_for_children(3);
    get(server.addr(), "/").expect("an answer");
    let tracer = match Tracer::attach(children) {
        Ok(tracer) => tracer,
        Err(error) => {
            println!("skipped: needs ptrace(2), which fails with {error}");
            return;
        }
    };
    server.signal(Signal::SIGTERM);
    // The stop takes the grace period and 15 s after SIGKILL. If the master waited 15 s for each
    // worker, the stop would exceed the time that the test waits.
    let status = server.wait();
    assert_eq!(status.code(), Some(74), "{:#?}", server.log());
    let is_given_up = |line: &&String| {
        line.contains("did not exit within 15s after SIGKILL; the master no longer waits for it")
    };
    eventually("a line about each worker", || {
        (server.log().iter().filter(is_given_up).count() == 3).then_some(())
    });
    drop(tracer);
}

#[test]
fn a_worker_that_was_given_up_is_replaced_by_name() {
    let server = Server::new(env!("CARGO_BIN_EXE_late_worker"))
        .keep_listen()
        .env("PREFORK_WORKERS", "1")
        .env("PREFORK_READY_TIMEOUT", "3s")
        .env("READY_FILE", "/nonexistent/ready")
        .start_unready();
    let children = server.wait_for_children(1);
    let pid = children[0].pid;
    let tracer = match Tracer::attach(children) {
        Ok(tracer) => tracer,
        Err(error) => {
            println!("skipped: needs ptrace(2), which fails with {error}");
            return;
        }
    };
    server.wait_for_log(|line| line.contains("did not exit within 15s after SIGKILL"));
    let replacing = format!("replacing pid {pid}");
    server.wait_for_log(|line| line.ends_with(&replacing));
    drop(tracer);
}
