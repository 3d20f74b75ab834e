//! Facts about another process, read from the kernel.

use std::fs;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// Processor time of a process, the sum over all of its threads.
pub(crate) fn cpu_time(pid: Pid) -> Duration {
    let clock = ClockId::pid_cpu_clock_id(pid).expect("the process exists");
    clock_gettime(clock)
        .expect("the clock of the process can be read")
        .into()
}

/// A number from `/proc/PID/status`, see proc(5). Sizes are in kibibytes.
pub(crate) fn status(pid: Pid, name: &str) -> u64 {
    status_in(&format!("/proc/{pid}"), name)
}

/// A number from the file `status` of a process or of a thread.
fn status_in(directory: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("{directory}/status")).expect("the process exists");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or_else(|| panic!("{directory}/status has no number '{name}'"))
}

/// Number of voluntary and involuntary context switches.
pub(crate) fn context_switches(pid: Pid) -> u64 {
    status(pid, "voluntary_ctxt_switches") + status(pid, "nonvoluntary_ctxt_switches")
}

/// Number of voluntary context switches, the sum over all threads of a process.
pub(crate) fn voluntary_switches(pid: Pid) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the process exists");
    let threads = threads.map(|thread| thread.expect("the directory is readable").path());
    threads
        .map(|thread| status_in(&thread.to_string_lossy(), "voluntary_ctxt_switches"))
        .sum()
}

/// The children of a single-threaded process.
pub(crate) fn children(pid: Pid) -> Vec<Pid> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let pids = text.split_whitespace().filter_map(|pid| pid.parse().ok());
    pids.map(Pid::from_raw).collect()
}
