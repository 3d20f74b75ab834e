//! A server under test that runs.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::sys::signal::Signal;

use crate::LIMIT;
use crate::announcement::Announcement;
use crate::eventually::within;
use crate::family::{Family, PATIENCE};
use crate::log::Log;
use crate::process::{Child, children_of, send};

/// A server that was started by [`Server::start`](crate::Server::start).
///
/// Dropping it kills all of its processes, orphans of a killed master included, and waits until they
/// are gone; also when the test panics.
#[derive(Debug)]
pub struct Running {
    process: std::process::Child,
    /// Once it is known; it was waited for then.
    status: Option<ExitStatus>,
    family: Family,
    log: Log,
    addrs: Vec<(String, SocketAddr)>,
    master: i32,
}

impl Running {
    pub(crate) fn new(process: std::process::Child, family: Family, log: Log) -> Self {
        // Until the master says who it is: a wrapper may stand in between.
        let master = i32::try_from(process.id()).expect("the kernel's pids fit");
        Self {
            process,
            status: None,
            family,
            log,
            addrs: Vec::new(),
            master,
        }
    }

    #[track_caller]
    pub(crate) fn wait_until_it_serves(&mut self) {
        let Some(said) = self.announcement() else {
            let program = self.process.id();
            panic!(
                "the server (pid {program}) did not announce that it serves: it {}; {}{}",
                self.state(),
                missing(&self.log.lines()),
                self.log
            );
        };
        let master = self.family.find(said.pid);
        self.master = master.unwrap_or_else(|| panic!("it has ended already; {}", self.log));
        self.addrs = said.addrs;
    }

    /// The line by which it announces its listeners; `None` if it does not come within [`LIMIT`], or if no process of the
    /// server is left that could write it.
    fn announcement(&mut self) -> Option<Announcement> {
        let read = |log: &Log| log.lines().iter().find_map(|line| Announcement::read(line));
        within(LIMIT, || {
            if let Some(said) = read(&self.log) {
                return Some(Some(said));
            }
            // A wrapper may end before the server that it started.
            let has_ended = self.try_wait().is_some() && self.family.members().is_empty();
            if !has_ended && !self.log.has_ended() {
                return None;
            }
            // What it wrote last may be on its way.
            self.log.wait_for_end(LIMIT);
            Some(read(&self.log))
        })
        .flatten()
    }

    /// What became of the process that was started, as a part of a sentence.
    fn state(&mut self) -> String {
        // The end of its log comes before its own.
        let is_over = self.log.has_ended();
        let status = if is_over {
            within(PATIENCE, || self.try_wait())
        } else {
            self.try_wait()
        };
        let Some(status) = status else {
            return format!("still runs after {} s", LIMIT.as_secs());
        };
        match (status.code(), status.signal()) {
            (Some(code), _) => format!("exited with status {code}"),
            (None, Some(signal)) => format!("was killed by signal {signal}"),
            (None, None) => format!("ended: {status}"),
        }
    }

    /// How it ended, if it has.
    fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.process.try_wait().expect("our own child");
        }
        self.status
    }

    /// Where its first listener listens.
    ///
    /// # Panics
    /// If it has none.
    #[track_caller]
    pub fn addr(&self) -> SocketAddr {
        let (_, addr) = self.addrs.first().expect("the server has a listener");
        *addr
    }

    /// Where this listener listens.
    ///
    /// # Panics
    /// If there is none of that name.
    #[track_caller]
    pub fn addr_of(&self, name: &str) -> SocketAddr {
        let mut addrs = self.addrs.iter();
        match addrs.find(|(known, _)| known == name) {
            Some((_, addr)) => *addr,
            None => panic!("there is no listener '{name}' in {:?}", self.addrs),
        }
    }

    /// The name and the address of each listener.
    pub fn addrs(&self) -> &[(String, SocketAddr)] {
        &self.addrs
    }

    /// The process id of the master; of the one process in single mode.
    pub fn master_pid(&self) -> i32 {
        self.master
    }

    /// The children that the master has at this moment, by slot.
    pub fn children(&self) -> Vec<Child> {
        children_of(self.master)
    }

    /// The child that fills this slot at this moment.
    pub fn child(&self, slot: usize) -> Option<Child> {
        let mut children = self.children().into_iter();
        children.find(|child| child.slot == slot)
    }

    /// Waits until the master has this many children.
    ///
    /// # Panics
    /// If that does not happen within [`LIMIT`]; the message shows the log.
    #[track_caller]
    pub fn wait_for_children(&self, count: usize) -> Vec<Child> {
        let ask = || Some(self.children()).filter(|children| children.len() == count);
        within(LIMIT, ask)
            .unwrap_or_else(|| panic!("waited in vain for {count} children; {}", self.log))
    }

    /// Sends the master a signal.
    pub fn signal(&self, signal: Signal) {
        // A process that was waited for may have left its number to somebody else.
        if self.status.is_none() {
            send(self.master, signal);
        }
    }

    /// Sends the child in this slot a signal and says which one it was.
    ///
    /// # Panics
    /// If no child comes into the slot within [`LIMIT`]; the message shows the log.
    #[track_caller]
    pub fn signal_child(&self, slot: usize, signal: Signal) -> Child {
        let child = within(LIMIT, || self.child(slot));
        let child = child.unwrap_or_else(|| panic!("slot {slot} stays empty; {}", self.log));
        send(child.pid, signal);
        child
    }

    /// Kills the child in this slot with SIGKILL and says which one it was.
    ///
    /// # Panics
    /// If no child comes into the slot within [`LIMIT`]; the message shows the log.
    #[track_caller]
    pub fn kill_child(&self, slot: usize) -> Child {
        self.signal_child(slot, Signal::SIGKILL)
    }

    /// Waits until another child fills the slot of this one.
    ///
    /// # Panics
    /// If that does not happen within [`LIMIT`]; the message shows the log.
    #[track_caller]
    pub fn wait_for_successor(&self, predecessor: Child) -> Child {
        let ask = || {
            let child = self.child(predecessor.slot);
            child.filter(|child| child.pid != predecessor.pid)
        };
        within(LIMIT, ask).unwrap_or_else(|| {
            let slot = predecessor.slot;
            panic!(
                "waited in vain for a successor in slot {slot}; {}",
                self.log
            )
        })
    }

    /// All processes of this server at this moment: master, children, what these started, and what
    /// is left of them when their master is gone.
    pub fn processes(&self) -> Vec<i32> {
        self.family.members()
    }

    /// What it and its children wrote so far, stdout and stderr in one order.
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// Waits for the first line that fits.
    ///
    /// # Panics
    /// If none comes within [`LIMIT`], or before everybody who could write one has ended; the
    /// message shows the log.
    #[track_caller]
    pub fn wait_for_log(&self, fits: impl Fn(&str) -> bool) -> String {
        let found = self.log.find(LIMIT, fits);
        found.unwrap_or_else(|| panic!("a line is missing; {}", self.log))
    }

    /// Waits until the master has ended.
    ///
    /// # Panics
    /// If it does not end within [`LIMIT`]; the message shows the log.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let status = within(LIMIT, || self.try_wait());
        status.unwrap_or_else(|| panic!("the server does not end; {}", self.log))
    }

    /// Stops it as an operator would, by SIGTERM, and waits until it has ended.
    ///
    /// # Panics
    /// If it does not end within [`LIMIT`]; the message shows the log.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// The log once nobody is left who could add to it.
    ///
    /// # Panics
    /// If somebody is, after [`LIMIT`]; the message shows the log.
    #[track_caller]
    pub fn whole_log(&self) -> Vec<String> {
        let is_whole = self.log.wait_for_end(LIMIT);
        assert!(is_whole, "somebody of the server is left; {}", self.log);
        self.log()
    }
}

/// Why the announcement may be missing in this log, as sentences that end with a space.
fn missing(lines: &[String]) -> String {
    let is_ours = |line: &&String| line.starts_with("prefork: ");
    let is_other_form = |line: &&String| line.contains("listening on ") && line.contains("pid ");
    if let Some(line) = lines.iter().find(is_other_form) {
        return format!(
            "the line '{line}' is not in the form 'prefork: listening on …' that is read here: the program has its own \
             logger, or a subscriber of tracing or log, which takes the lines of the master. Let it write them to \
             stderr in that form, or start it with launch and wait_for_log. "
        );
    }
    if lines.iter().any(|line| is_ours(&line)) {
        return String::new();
    }
    "no line on stdout or stderr begins with 'prefork: ': if the program has its own logger, or a subscriber of tracing \
     or log, that takes the lines of the master; let it write them to stderr as 'prefork: …', or start it with launch \
     and wait_for_log. "
        .to_owned()
}

impl Drop for Running {
    fn drop(&mut self) {
        // Stopped, it cannot start another child while its children are killed.
        self.signal(Signal::SIGSTOP);
        let is_gone = self.family.end();
        if self.status.is_none() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
        // The reading thread ends here, so that its pipe is closed when the test goes on.
        self.log.wait_for_end(LIMIT);
        // A second panic would abort the whole test program.
        assert!(
            is_gone || std::thread::panicking(),
            "SIGKILL does not end the server"
        );
    }
}
