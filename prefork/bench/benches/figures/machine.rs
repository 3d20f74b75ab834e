//! The machine: its description, and the settings of this process before it measures.

use std::fs;
use std::process::Command;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Makes this process a subreaper and raises its limit of open files.
///
/// The subreaper adopts and reaps orphans, so that no process is left. A master with a thousand
/// workers needs more descriptors than the default soft limit allows.
pub(crate) fn prepare() {
    prctl::set_child_subreaper(true).expect("Linux has subreapers since 3.4");
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit can be read");
    setrlimit(Resource::RLIMIT_NOFILE, most, most)
        .expect("a process may raise its soft limit to the hard limit");
}

/// Describes the machine in one line above the table.
pub(crate) fn describe() -> String {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map_or_else(
        |_| String::new(),
        |out| String::from_utf8_lossy(&out.stdout).into_owned(),
    );
    let rustc = rustc.split(' ').nth(1).unwrap_or("unknown");
    format!("{cpus} CPUs ({model}), Linux {kernel}, rustc {rustc}, medians.")
}
