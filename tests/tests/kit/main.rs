//! The guarantees of the testkit for users who test their servers.

mod certificates;
mod children;
mod reservation;
mod worker;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prefork_testkit::{Signal, eventually};
use prefork_tests::proc;

/// Reached only if a test fails.
const LONG: Duration = Duration::from_secs(30);

/// SIGTERM in the sets of `/proc/<pid>/status`.
const TERMINATION: u64 = 1 << (Signal::SIGTERM as u64 - 1);

/// All tests here count the descriptors and the children of the same process.
fn lock() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).expect("the kernel's pids fit")
}

/// Children and descriptors of this process.
fn resources() -> (Vec<i32>, usize) {
    (proc::children(own_pid()), proc::fds(own_pid()).len())
}

/// Waits until this process has only the children and descriptors that it had before.
///
/// The thread of a worker may end shortly after its body.
fn wait_for(before: &(Vec<i32>, usize)) {
    eventually("the children and descriptors from before", || {
        (resources() == *before).then_some(())
    });
}
