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
const WORDS: &str = r"
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
    format!("{WORDS}\n{text}")
}

/// Makes the children of the master run this script.
pub(crate) fn shell<'a>(prefork: &'a mut Prefork, text: &str) -> &'a mut Prefork {
    let text = script(text);
    prefork.child_producer(move |child| {
        child.program("/bin/sh").arg("-c").arg(&text);
    })
}

/// A master with this number of children that run the script, and a log that keeps its lines.
pub(crate) fn master(workers: usize, text: &str) -> (Prefork, MemoryLog) {
    let lines = MemoryLog::new();
    let mut prefork = Prefork::new();
    shell(prefork.workers(workers), text).logger(lines.logger());
    (prefork, lines)
}

/// Starts the master.
#[track_caller]
pub(crate) fn start(prefork: &mut Prefork) -> Handle {
    prefork.start().expect("the master starts")
}

/// Runs the master until it ends with an error.
#[track_caller]
pub(crate) fn fail(prefork: &mut Prefork) -> Error {
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

/// Facts in the order in which they happened.
#[derive(Debug)]
pub(crate) struct Facts<T>(Arc<Mutex<Vec<T>>>);

impl<T: Clone> Facts<T> {
    pub(crate) fn push(&self, fact: T) {
        self.0.lock().expect("no thread panics with it").push(fact);
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.lock().expect("no thread panics with it").clone()
    }

    /// Waits until there are `count` facts.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, count: usize) -> Vec<T> {
        eventually(what, || Some(self.all()).filter(|all| all.len() >= count))
    }
}

impl<T> Clone for Facts<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Facts<T> {
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
pub(crate) enum Told {
    Spawned(i32),
    Ready(Vec<i32>),
    Recovered(i32, i32),
}

/// Sets hooks of the master that record their calls.
pub(crate) fn listen_in(prefork: &mut Prefork) -> Facts<Told> {
    let facts = Facts::default();
    let (spawned, ready, recovered) = (facts.clone(), facts.clone(), facts.clone());
    prefork
        .on_child_spawn(move |child| spawned.push(Told::Spawned(child.pid())))
        .on_master_ready(move |master| ready.push(Told::Ready(master.pids().to_vec())))
        .on_child_recover(move |child| {
            recovered.push(Told::Recovered(child.old_pid(), child.new_pid()));
        });
    facts
}

/// The pids of all started children, in the order of their starts.
pub(crate) fn spawned(facts: &[Told]) -> Vec<i32> {
    let pid = |fact: &Told| match fact {
        Told::Spawned(pid) => Some(*pid),
        Told::Ready(_) | Told::Recovered(..) => None,
    };
    facts.iter().filter_map(pid).collect()
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
    let ours = proc::children(own);
    let left: Vec<&i32> = pids.iter().filter(|pid| ours.contains(pid)).collect();
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
