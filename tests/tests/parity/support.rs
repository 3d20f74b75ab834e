//! What the rows share: masters on threads of the test's own process, with children that run a few
//! lines of shell.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use prefork::{Error, Handle, Prefork};
use prefork_testkit::{CapturedLine, MemoryLog, eventually};
use prefork_tests::proc;

/// In front of a script: it can speak to the master, and knows its slot and the number of its
/// start.
const WORDS: &str = r"
    channel=${PREFORK_CHILD##*:}
    rest=${PREFORK_CHILD#*:}; slot=${rest%%:*}; rest=${rest#*:}; child=${rest%%:*}
    ready() {
        printf 'hello protocol=1 ready=announced listeners=' >&$channel
        printf ready >&$channel
    }
";

/// Behind a script that has nothing more to do: waits, and ends by SIGTERM.
pub(crate) const REST: &str = "exec sleep 1000";

/// The text of a script whose children can say `ready` and know `$slot` and `$child`.
pub(crate) fn script(text: &str) -> String {
    format!("{WORDS}\n{text}")
}

/// Gives the master children that run this script.
pub(crate) fn shell<'a>(prefork: &'a mut Prefork, text: &str) -> &'a mut Prefork {
    let text = script(text);
    prefork.child_producer(move |child| {
        child.program("/bin/sh").arg("-c").arg(&text);
    })
}

/// A master of so many children that run this script; it keeps its lines.
pub(crate) fn master(workers: usize, text: &str) -> (Prefork, MemoryLog) {
    let lines = MemoryLog::new();
    let mut prefork = Prefork::new();
    shell(prefork.workers(workers), text).logger(lines.logger());
    (prefork, lines)
}

/// Starts it.
#[track_caller]
pub(crate) fn start(prefork: &mut Prefork) -> Handle {
    prefork.start().expect("nothing keeps it from beginning")
}

/// Runs it until it ends by itself.
#[track_caller]
pub(crate) fn fail(prefork: &mut Prefork) -> Error {
    let result = start(prefork).wait();
    result.expect_err("nobody asked it to stop")
}

/// Stops it and waits for its end.
#[track_caller]
pub(crate) fn stop(master: Handle) {
    master.stop();
    master.wait().expect("it was asked to stop");
}

/// What an error was caused by.
pub(crate) fn cause(error: &Error) -> Option<String> {
    StdError::source(error).map(ToString::to_string)
}

/// Facts in the order in which they happened.
#[derive(Debug)]
pub(crate) struct Facts<T>(Arc<Mutex<Vec<T>>>);

impl<T: Clone> Facts<T> {
    pub(crate) fn push(&self, fact: T) {
        self.0.lock().expect("nobody panics with it").push(fact);
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.lock().expect("nobody panics with it").clone()
    }

    /// Waits until there are so many.
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

/// What a test asks of a master's lines.
pub(crate) trait Lines {
    /// The lines that hold this text.
    fn with(&self, part: &str) -> Vec<CapturedLine>;
}

impl Lines for MemoryLog {
    fn with(&self, part: &str) -> Vec<CapturedLine> {
        let mut lines = self.lines();
        lines.retain(|line| line.text.contains(part));
        lines
    }
}

/// What the hooks were told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Spawned(i32),
    Ready(Vec<i32>),
    Recovered(i32, i32),
}

/// Gives the master hooks that note what they are told.
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

/// The pids of all that were started, in order.
pub(crate) fn spawned(facts: &[Told]) -> Vec<i32> {
    let pid = |fact: &Told| match fact {
        Told::Spawned(pid) => Some(*pid),
        Told::Ready(_) | Told::Recovered(..) => None,
    };
    facts.iter().filter_map(pid).collect()
}

/// Kills a child of ours.
#[track_caller]
pub(crate) fn kill_child(pid: i32) {
    signal(pid, Signal::SIGKILL);
}

/// Sends a child of ours a signal.
#[track_caller]
pub(crate) fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).expect("it was not waited for yet");
}

/// Fails if one of them is still there, be it as a zombie.
#[track_caller]
pub(crate) fn assert_gone(pids: &[i32]) {
    let own = i32::try_from(std::process::id()).expect("the kernel's pids fit");
    let ours = proc::children(own);
    let left: Vec<&i32> = pids.iter().filter(|pid| ours.contains(pid)).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// The sockets that a process has open, by the kernel's names.
pub(crate) fn sockets(pid: i32) -> BTreeSet<String> {
    proc::sockets(pid).into_iter().collect()
}

/// Where a descriptor of a process leads.
pub(crate) fn fd(pid: i32, number: i32) -> Option<PathBuf> {
    let mut fds = proc::fds(pid).into_iter();
    fds.find_map(|(known, path)| (known == number).then_some(path))
}

/// A folder for a test's files, gone with the test.
#[track_caller]
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}
