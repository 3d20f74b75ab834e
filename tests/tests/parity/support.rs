//! Helpers of the rows: masters on threads of the test process, with children that run a shell
//! script.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use prefork::{Error, Handle, Prefork};
use prefork_testkit::{CapturedLine, MemoryLog, eventually};
use prefork_tests::proc;

/// The beginning of every script. It defines `ready`, which sends frames to the master, and the
/// variables `$slot` and `$child`, the number of the start.
const PRELUDE: &str = r"
    channel=${PREFORK_CHILD##*:}
    rest=${PREFORK_CHILD#*:}; slot=${rest%%:*}; rest=${rest#*:}; child=${rest%%:*}
    ready() {
        printf 'hello protocol=1 ready=announced listeners=' >&$channel
        printf ready >&$channel
    }
";

/// The end of a script that has no other work: waits until SIGTERM ends it.
pub(crate) const REST: &str = "exec sleep 1000";

/// The text of a script that can call `ready` and use `$slot` and `$child`.
pub(crate) fn script(text: &str) -> String {
    format!("{PRELUDE}\n{text}")
}

/// Makes the children of the master run this script.
pub(crate) fn shell(prefork: Prefork, text: &str) -> Prefork {
    let text = script(text);
    prefork.child_producer(move |child| {
        child.program("/bin/sh").arg("-c").arg(&text);
    })
}

/// A master with this number of children that run the script, and a log that keeps its lines.
pub(crate) fn master(workers: usize, text: &str) -> (Prefork, MemoryLog) {
    let lines = MemoryLog::new();
    let prefork = shell(Prefork::new().workers(workers), text).logger(lines.logger());
    (prefork, lines)
}

/// Starts the master.
#[track_caller]
pub(crate) fn start(prefork: Prefork) -> Handle {
    prefork.start().expect("the master starts")
}

/// Runs the master until it ends with an error.
#[track_caller]
pub(crate) fn fail(prefork: Prefork) -> Error {
    let result = start(prefork).wait();
    result.expect_err("the master fails")
}

/// Stops the master and waits until it ends.
#[track_caller]
pub(crate) fn stop(master: Handle) {
    master.stop();
    master.wait().expect("the stop succeeds");
}

/// The source of an error, as text.
pub(crate) fn cause(error: &Error) -> Option<String> {
    StdError::source(error).map(ToString::to_string)
}

/// Values that hooks record, in the order of the calls.
#[derive(Debug)]
pub(crate) struct Recorded<T>(Arc<Mutex<Vec<T>>>);

impl<T: Clone> Recorded<T> {
    pub(crate) fn push(&self, value: T) {
        self.0.lock().expect("no thread panics with it").push(value);
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.lock().expect("no thread panics with it").clone()
    }

    /// Waits until there are `count` values.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, count: usize) -> Vec<T> {
        eventually(what, || Some(self.all()).filter(|all| all.len() >= count))
    }
}

impl<T> Clone for Recorded<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Recorded<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

/// Queries of the lines of a master.
pub(crate) trait Lines {
    /// The lines that contain this text.
    fn with(&self, part: &str) -> Vec<CapturedLine>;
}

impl Lines for MemoryLog {
    fn with(&self, part: &str) -> Vec<CapturedLine> {
        let mut lines = self.lines();
        lines.retain(|line| line.text.contains(part));
        lines
    }
}

/// A call of a hook, with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HookCall {
    Spawned(i32),
    Ready(Vec<i32>),
    Recovered(i32, i32),
}

/// Sets hooks of the master that record their calls.
pub(crate) fn record_hooks(prefork: Prefork) -> (Prefork, Recorded<HookCall>) {
    let calls = Recorded::default();
    let (spawned, ready, recovered) = (calls.clone(), calls.clone(), calls.clone());
    let prefork = prefork
        .on_child_spawn(move |child| spawned.push(HookCall::Spawned(child.pid())))
        .on_master_ready(move |master| ready.push(HookCall::Ready(master.pids().to_vec())))
        .on_child_recover(move |child| {
            recovered.push(HookCall::Recovered(child.old_pid(), child.new_pid()));
        });
    (prefork, calls)
}

/// The pids of all started children, in the order of their starts.
pub(crate) fn spawned(calls: &[HookCall]) -> Vec<i32> {
    let pid = |value: &HookCall| match value {
        HookCall::Spawned(pid) => Some(*pid),
        HookCall::Ready(_) | HookCall::Recovered(..) => None,
    };
    calls.iter().filter_map(pid).collect()
}

/// Kills a child of the test process.
#[track_caller]
pub(crate) fn kill_child(pid: i32) {
    signal(pid, Signal::SIGKILL);
}

/// Sends a signal to a child of the test process.
#[track_caller]
pub(crate) fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).expect("the child runs or is a zombie");
}

/// Fails if one of the processes still exists, even as a zombie.
#[track_caller]
pub(crate) fn assert_gone(pids: &[i32]) {
    let own = i32::try_from(std::process::id()).expect("a pid fits into i32");
    let children = proc::children(own);
    let left: Vec<&i32> = pids.iter().filter(|pid| children.contains(pid)).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// The open sockets of a process, by the kernel's names.
pub(crate) fn sockets(pid: i32) -> BTreeSet<String> {
    proc::sockets(pid).into_iter().collect()
}

/// The target of a descriptor of a process.
pub(crate) fn fd(pid: i32, number: i32) -> Option<PathBuf> {
    let mut fds = proc::fds(pid).into_iter();
    fds.find_map(|(known, path)| (known == number).then_some(path))
}

/// A folder for the files of a test, removed when the test ends.
#[track_caller]
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}
