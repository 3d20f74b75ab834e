//! A server under measurement: its master, and an ear for its workers.

use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use prefork_bench::app::{BENCH, THREAD};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::client::{self, LIMIT};
use crate::proc;

/// Who supervises.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Floor,
    /// The floor, whose workers have a second thread.
    ThreadedFloor,
    Prefork,
}

/// A running server; it ends with the value, whatever it does.
pub(crate) struct Server {
    pub(crate) master: Pid,
    pub(crate) addr: SocketAddr,
    pub(crate) started_at: Instant,
    workers: usize,
    ear: Ear,
    is_gone: bool,
    _port: Socket,
}

/// What a worker says before it serves.
pub(crate) struct Hello {
    pub(crate) pid: Pid,
    /// From the order to start it to its `main`, where somebody noted the order.
    pub(crate) main_after: Duration,
}

impl Server {
    /// Starts a server without waiting for it.
    pub(crate) fn start(kind: Kind, workers: usize) -> Self {
        Self::run(workers, |addr| match kind {
            Kind::Floor | Kind::ThreadedFloor => {
                let mut command = floor(env!("CARGO_BIN_EXE_floor").as_ref(), addr, workers);
                if kind == Kind::ThreadedFloor {
                    command.env(THREAD, "1");
                }
                command
            }
            Kind::Prefork => prefork(
                env!("CARGO_BIN_EXE_hello").as_ref(),
                &addr.to_string(),
                workers,
            ),
        })
    }

    /// One of the other things that the binary of `hello` does, in a process that calls itself
    /// once.
    pub(crate) fn other(args: &[&str]) -> Self {
        Self::run(1, |_addr| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_hello"));
            command.args(args);
            command
        })
    }

    /// Any server whose workers say that they are there, at an address that is free.
    pub(crate) fn run(workers: usize, command: impl FnOnce(SocketAddr) -> Command) -> Self {
        let (port, addr) = reserve();
        let mut command = command(addr);
        let ear = Ear::new();
        command.env(BENCH, ear.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let started_at = Instant::now();
        #[expect(
            clippy::zombie_processes,
            reason = "reaped by its number, as its workers are"
        )]
        let child = command.spawn().expect("the server was built");
        Self {
            master: Pid::from_raw(child.id().cast_signed()),
            addr,
            started_at,
            workers,
            ear,
            is_gone: false,
            _port: port,
        }
    }

    /// The same, and waits until every worker is about to serve and one has answered.
    pub(crate) fn ready(kind: Kind, workers: usize) -> Self {
        let server = Self::start(kind, workers);
        server.hear_all();
        client::ask_until_answered(server.addr, None);
        server
    }

    /// Waits for the next worker.
    pub(crate) fn hear(&self) -> Hello {
        self.ear.hear()
    }

    /// Waits until each of its workers was heard.
    pub(crate) fn hear_all(&self) {
        for _ in 0..self.workers {
            self.hear();
        }
    }

    /// Kills the worker that answers, and says how long it takes until another one does.
    pub(crate) fn kill_worker(&self) -> Duration {
        let victim = client::ask_until_answered(self.addr, None);
        let begin = Instant::now();
        kill(victim, Signal::SIGKILL).expect("it was there a moment ago");
        client::ask_until_answered(self.addr, Some(victim));
        let took = begin.elapsed();
        // A worker that nobody hears would wait once the ear is full.
        self.hear();
        took
    }

    /// Processor time of the workers that are there.
    pub(crate) fn workers_cpu_time(&self) -> Duration {
        proc::children(self.master)
            .into_iter()
            .map(proc::cpu_time)
            .sum()
    }

    /// Kills the master; says how long it takes until all of its idle workers are gone as well.
    pub(crate) fn kill_master(mut self) -> Duration {
        let workers = proc::children(self.master);
        let begin = Instant::now();
        kill(self.master, Signal::SIGKILL).expect("it was started here");
        wait(self.master);
        // Nobody else's now than this process's.
        for worker in workers {
            wait(worker);
        }
        self.is_gone = true;
        begin.elapsed()
    }

    /// Asks the master to stop, gracefully.
    pub(crate) fn ask_to_stop(&self) {
        kill(self.master, Signal::SIGTERM).expect("it was started here");
    }

    /// Waits until the master is gone; its workers went before.
    pub(crate) fn wait(mut self) {
        wait(self.master);
        self.is_gone = true;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.is_gone {
            return;
        }
        let workers = proc::children(self.master);
        let _ = kill(self.master, Signal::SIGKILL);
        wait(self.master);
        for worker in workers {
            // Not reaped by anybody else, so that the number is still its own.
            let _ = kill(worker, Signal::SIGKILL);
            wait(worker);
        }
    }
}

/// How a program under the hand-made supervisor is called.
pub(crate) fn floor(program: &Path, addr: SocketAddr, workers: usize) -> Command {
    let mut command = Command::new(program);
    command.args([addr.to_string(), workers.to_string()]);
    command
}

/// How one under prefork is.
pub(crate) fn prefork(program: &Path, listen: &str, workers: usize) -> Command {
    let mut command = Command::new(program);
    command.env("PREFORK_LISTEN", listen);
    command.env("PREFORK_WORKERS", workers.to_string());
    command
}

/// Reaps a child of this process, which may be one by adoption.
pub(crate) fn wait(pid: Pid) {
    while waitpid(pid, None) == Err(Errno::EINTR) {}
}

/// A port that nobody else is given while the socket is there; it does not listen, so that the
/// server can.
fn reserve() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be made");
    socket.set_reuse_address(true).expect("a plain option");
    socket.set_reuse_port(true).expect("a plain option");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).expect("some port is free");
    let addr = socket.local_addr().ok().and_then(|addr| addr.as_socket());
    (socket, addr.expect("it was bound to such an address"))
}

/// Where workers say that they are there.
struct Ear {
    socket: UnixDatagram,
    directory: TempDir,
}

impl Ear {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("files can be made");
        let socket = UnixDatagram::bind(directory.path().join("ear")).expect("the path is short");
        socket
            .set_read_timeout(Some(LIMIT))
            .expect("a plain option");
        Self { socket, directory }
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("ear")
    }

    fn hear(&self) -> Hello {
        let mut buffer = [0; 64];
        let length = self
            .socket
            .recv(&mut buffer)
            .expect("a worker starts in time");
        let text = String::from_utf8_lossy(&buffer[..length]);
        let (pid, took) = text.split_once(' ').expect("two words");
        Hello {
            pid: Pid::from_raw(pid.parse().expect("a process id")),
            main_after: Duration::from_nanos(took.parse().expect("nanoseconds")),
        }
    }
}

/// Rests before a measurement that what came before must not disturb.
pub(crate) fn settle() {
    thread::sleep(Duration::from_millis(300));
}
