//! What the kernel says about another process.

use std::fs;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// The processor time that it has used, all of its threads together.
pub(crate) fn cpu_time(pid: Pid) -> Duration {
    let clock = ClockId::pid_cpu_clock_id(pid).expect("the process is there");
    clock_gettime(clock).expect("its clock can be read").into()
}

/// A number from `/proc/PID/status`, proc(5): kibibytes for sizes.
pub(crate) fn status(pid: Pid, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or_else(|| panic!("no number is called {name}"))
}

/// How often it was taken off a processor or left it.
pub(crate) fn context_switches(pid: Pid) -> u64 {
    status(pid, "voluntary_ctxt_switches") + status(pid, "nonvoluntary_ctxt_switches")
}

/// The children of a process with one thread.
pub(crate) fn children(pid: Pid) -> Vec<Pid> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let pids = text.split_whitespace().filter_map(|word| word.parse().ok());
    pids.map(Pid::from_raw).collect()
}
