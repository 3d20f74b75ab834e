//! The machine, and what this process asks of it before it measures.

use std::fs;
use std::process::Command;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Orphans come to this process, which waits for them: nothing that was started is left. A thousand
/// workers need more descriptors than a shell allows at first.
pub(crate) fn prepare() {
    prctl::set_child_subreaper(true).expect("Linux has subreapers since 3.4");
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("limits can be read");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("the hard limit is allowed");
}

/// One line for the table.
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
