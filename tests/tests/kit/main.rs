//! What the testkit promises to those who test their own servers.

mod certificates;
mod children;
mod reservation;
mod worker;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prefork_testkit::{Signal, eventually};
use prefork_tests::proc;

/// Reached only where something is broken.
const LONG: Duration = Duration::from_secs(30);

/// SIGTERM in the sets of `/proc/<pid>/status`.
const TERMINATION: u64 = 1 << (Signal::SIGTERM as u64 - 1);

/// All tests here count the descriptors and the children of the same process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).expect("the kernel's pids fit")
}

/// Children and descriptors of this process.
fn belongings() -> (Vec<i32>, usize) {
    (proc::children(own_pid()), proc::fds(own_pid()).len())
}

/// A thread of the worker's own may be a moment behind its body.
fn wait_for(before: &(Vec<i32>, usize)) {
    eventually("what was there before, and no more", || {
        (belongings() == *before).then_some(())
    });
}
