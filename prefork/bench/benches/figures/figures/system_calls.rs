//! System calls of a worker for one request, counted by strace(1).

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::figure::Row;
use crate::load::{Connections, ask_times};
use crate::proc;
use crate::server::{Kind, Server};

const REQUESTS: u32 = 2000;

pub(crate) fn rows() -> Vec<Row> {
    let row = |connections, how| {
        let what = format!("system calls of a worker for a request {how}");
        let counts = [Kind::Baseline, Kind::Prefork].map(|kind| for_each(kind, connections));
        match counts {
            [Some(baseline), Some(prefork)] => Row::equal(&what, baseline, prefork),
            _ => Row::skipped(&what, "strace"),
        }
    };
    vec![
        row(Connections::Kept, "on a kept connection"),
        row(Connections::New, "on a new connection"),
    ]
}

/// System calls for one request; `None` without strace.
///
/// The function measures N and 2 N requests. The difference excludes calls that the worker makes
/// once.
fn for_each(kind: Kind, connections: Connections) -> Option<f64> {
    let server = Server::ready(kind, 1);
    let worker = *proc::children(server.master).first()?;
    let counted = |times| count(worker, || ask_times(server.addr, connections, times));
    let (once, twice) = (counted(REQUESTS)?, counted(2 * REQUESTS)?);
    Some((twice - once) / f64::from(REQUESTS))
}

/// Counts the system calls of a process and its threads while `something` runs.
///
/// Returns `None` without strace.
fn count(pid: Pid, something: impl FnOnce()) -> Option<f64> {
    let mut strace = Command::new("strace")
        .args(["-c", "-f", "-p", &pid.to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let mut lines = BufReader::new(strace.stderr.take()?)
        .lines()
        .map_while(Result::ok);
    lines.find(|line| line.contains("attached"))?;
    something();
    let id = Pid::from_raw(strace.id().cast_signed());
    kill(id, Signal::SIGINT).ok()?;
    // `% time  seconds  usecs/call  calls  errors  syscall`; the last line is their sum.
    let total = lines.find(|line| line.ends_with(" total"));
    strace.wait().ok()?;
    total?.split_whitespace().nth(3)?.parse().ok()
}
