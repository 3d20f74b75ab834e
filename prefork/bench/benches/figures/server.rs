//! A server under measurement: its master, and a socket on which its workers report.

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

/// The supervisor of a server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Baseline,
    /// The baseline with a second thread in each worker.
    ThreadedBaseline,
    Prefork,
    /// `Prefork` with one standby, which reports like a worker.
    Standby,
}

/// A running server. Dropping it kills the master and all workers.
pub(crate) struct Server {
    pub(crate) master: Pid,
    pub(crate) addr: SocketAddr,
    pub(crate) started_at: Instant,
    workers: usize,
    reports: ReportSocket,
    is_gone: bool,
    _port: Socket,
}

/// The report that a worker sends before it serves.
pub(crate) struct Report {
    pub(crate) pid: Pid,
    /// Time from the start order to the worker's `main`. Zero if no start order was recorded.
    pub(crate) main_after: Duration,
}

impl Server {
    /// Starts a server without waiting for it.
    pub(crate) fn start(kind: Kind, workers: usize) -> Self {
        let reporting = workers + usize::from(kind == Kind::Standby);
        Self::run(reporting, |addr| match kind {
            Kind::Baseline | Kind::ThreadedBaseline => {
                let mut command = baseline(env!("CARGO_BIN_EXE_baseline").as_ref(), addr, workers);
                if kind == Kind::ThreadedBaseline {
                    command.env(THREAD, "1");
                }
                command
            }
            Kind::Prefork | Kind::Standby => {
                let program = env!("CARGO_BIN_EXE_hello").as_ref();
                let mut command = prefork(program, &addr.to_string(), workers);
                if kind == Kind::Standby {
                    command.env("PREFORK_STANDBY", "1");
                }
                command
            }
        })
    }

    /// Starts another mode of the binary `hello`, in which one process reports.
    pub(crate) fn other(args: &[&str]) -> Self {
        Self::run(1, |_addr| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_hello"));
            command.args(args);
            command
        })
    }

    /// Starts any server whose workers report, at a free address.
    pub(crate) fn run(workers: usize, command: impl FnOnce(SocketAddr) -> Command) -> Self {
        let (port, addr) = reserve();
        let mut command = command(addr);
        let reports = ReportSocket::new();
        command.env(BENCH, reports.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let started_at = Instant::now();
        #[expect(
            clippy::zombie_processes,
            reason = "`Server` reaps it by pid, as it reaps the workers"
        )]
        let child = command.spawn().expect("cargo has built the server");
        Self {
            master: Pid::from_raw(child.id().cast_signed()),
            addr,
            started_at,
            workers,
            reports,
            is_gone: false,
            _port: port,
        }
    }

    /// Starts a server, and waits until every worker has reported and one has answered.
    pub(crate) fn ready(kind: Kind, workers: usize) -> Self {
        let server = Self::start(kind, workers);
        server.wait_for_reports();
        client::ask_until_answered(server.addr, None);
        server
    }

    /// Waits for the report of the next worker.
    pub(crate) fn wait_for_report(&self) -> Report {
        self.reports.wait_for_report()
    }

    /// Waits for the reports of all workers.
    pub(crate) fn wait_for_reports(&self) {
        for _ in 0..self.workers {
            self.wait_for_report();
        }
    }

    /// Kills a worker that answers, and returns the time until another one answers.
    pub(crate) fn kill_worker(&self) -> Duration {
        let victim = client::ask_until_answered(self.addr, None);
        let begin = Instant::now();
        kill(victim, Signal::SIGKILL).expect("the worker has just answered");
        client::ask_until_answered(self.addr, Some(victim));
        let took = begin.elapsed();
        // If the bench received no reports, the socket would fill up and workers would block.
        self.wait_for_report();
        took
    }

    /// Processor time of the running workers.
    pub(crate) fn workers_cpu_time(&self) -> Duration {
        proc::children(self.master)
            .into_iter()
            .map(proc::cpu_time)
            .sum()
    }

    /// Kills the master, and returns the time until all of its idle workers have exited.
    pub(crate) fn kill_master(mut self) -> Duration {
        let workers = proc::children(self.master);
        let begin = Instant::now();
        kill(self.master, Signal::SIGKILL)
            .expect("this process started the master and has not reaped it");
        wait(self.master);
        // This process is a subreaper and has adopted the workers.
        for worker in workers {
            wait(worker);
        }
        self.is_gone = true;
        begin.elapsed()
    }

    /// Asks the master for a graceful stop.
    pub(crate) fn ask_to_stop(&self) {
        kill(self.master, Signal::SIGTERM)
            .expect("this process started the master and has not reaped it");
    }

    /// Waits until the master exits. Its workers exit before.
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
            // Only this process can reap the worker, so the pid is still valid.
            let _ = kill(worker, Signal::SIGKILL);
            wait(worker);
        }
    }
}

/// The command for a program under the hand-written supervisor.
pub(crate) fn baseline(program: &Path, addr: SocketAddr, workers: usize) -> Command {
    let mut command = Command::new(program);
    command.args([addr.to_string(), workers.to_string()]);
    command
}

/// The command for a program under prefork.
pub(crate) fn prefork(program: &Path, listen: &str, workers: usize) -> Command {
    let mut command = Command::new(program);
    command.env("PREFORK_LISTEN", listen);
    command.env("PREFORK_WORKERS", workers.to_string());
    command
}

/// Reaps a child of this process, also an adopted one.
pub(crate) fn wait(pid: Pid) {
    while waitpid(pid, None) == Err(Errno::EINTR) {}
}

/// Reserves a free port for as long as the socket exists.
///
/// The socket is bound and does not listen, so that the server can listen on the same port.
fn reserve() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("the socket can be created");
    socket
        .set_reuse_address(true)
        .expect("Linux has SO_REUSEADDR");
    socket.set_reuse_port(true).expect("Linux has SO_REUSEPORT");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).expect("a port is free");
    let addr = socket.local_addr().ok().and_then(|addr| addr.as_socket());
    (
        socket,
        addr.expect("the socket is bound to an IPv4 address"),
    )
}

/// The socket on which workers report.
struct ReportSocket {
    socket: UnixDatagram,
    directory: TempDir,
}

impl ReportSocket {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be created");
        let socket = UnixDatagram::bind(directory.path().join("reports"))
            .expect("the path fits into a socket address");
        socket
            .set_read_timeout(Some(LIMIT))
            .expect("the timeout is not zero");
        Self { socket, directory }
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("reports")
    }

    fn wait_for_report(&self) -> Report {
        let mut buffer = [0; 64];
        let length = self
            .socket
            .recv(&mut buffer)
            .expect("a worker starts in time");
        let text = String::from_utf8_lossy(&buffer[..length]);
        let (pid, took) = text
            .split_once(' ')
            .expect("a process id, a space and a time");
        Report {
            pid: Pid::from_raw(pid.parse().expect("a process id")),
            main_after: Duration::from_nanos(took.parse().expect("a number of nanoseconds")),
        }
    }
}

/// Pauses before a measurement, so that earlier work does not disturb it.
pub(crate) fn settle() {
    thread::sleep(Duration::from_millis(300));
}
