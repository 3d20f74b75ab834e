//! What happens to a worker while clients send requests: it is stopped, or a request blocks it.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::scenario::{SECONDS, Scenario};
use crate::client;
use crate::proc;
use crate::server::Server;

/// How long a worker is stopped.
const STOPPED: Duration = Duration::from_millis(200);

/// Runs `work`, which takes the time of a round, and disturbs the server meanwhile.
pub(super) fn during<T>(
    scenario: Scenario,
    server: &Server,
    round: usize,
    work: impl FnOnce() -> T,
) -> T {
    thread::scope(|scope| {
        match scenario {
            Scenario::Calm | Scenario::Bursts | Scenario::Slow => {}
            Scenario::Stopped => {
                scope.spawn(|| stop_workers(server, round));
            }
            Scenario::Blocked => {
                scope.spawn(|| block_workers(server));
            }
        }
        work()
    })
}

/// Stops another worker in each second.
fn stop_workers(server: &Server, round: usize) {
    let workers = proc::children(server.master);
    let begin = Instant::now();
    for second in 0..SECONDS {
        wait_until(begin + Duration::from_millis(300) + Duration::from_secs(second.into()));
        let turn = round * SECONDS as usize + second as usize;
        let _stopped = Stopped::new(workers[turn % workers.len()]);
        thread::sleep(STOPPED);
    }
}

/// A stopped worker. It continues when this value is dropped, also in a panic.
struct Stopped(Pid);

impl Stopped {
    fn new(worker: Pid) -> Self {
        kill(worker, Signal::SIGSTOP).expect("the worker has not exited");
        Self(worker)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // If the worker has exited, the cell reports it.
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

/// Blocks a worker twice a second: the one that accepts the request.
fn block_workers(server: &Server) {
    let begin = Instant::now();
    for half in 0..2 * SECONDS {
        wait_until(begin + Duration::from_millis(200) + Duration::from_millis(500) * half);
        let blocked = client::ask(server.addr, "/block");
        blocked.expect("a worker answers the request that blocks it");
    }
}

fn wait_until(time: Instant) {
    thread::sleep(time.saturating_duration_since(Instant::now()));
}
