//! A running server under test.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use prefork::ListenerInfo;

use crate::TIMEOUT;
use crate::eventually::within;
use crate::listeners::{addr_of, first_addr};
use crate::log::ServerLog;
use crate::notify::{ServerMessages, ServerState};
use crate::process_tree::{PATIENCE, ProcessTree};
use crate::procfs::{ChildInfo, children_of, send};
use crate::signal::Signal;

/// A running server, returned by [`Server::start`](crate::Server::start).
///
/// When the value is dropped, also by a panic of the test, it kills all processes of the server,
/// including the orphans of a killed master, and waits until they have exited.
#[derive(Debug)]
#[must_use = "dropping it kills the server"]
pub struct RunningServer {
    process: std::process::Child,
    /// Set once the process has exited and was reaped.
    status: Option<ExitStatus>,
    family: ProcessTree,
    log: ServerLog,
    messages: ServerMessages,
    listeners: Vec<ListenerInfo>,
    master: i32,
}

impl RunningServer {
    pub(crate) fn new(
        process: std::process::Child,
        family: ProcessTree,
        log: ServerLog,
        messages: ServerMessages,
    ) -> Self {
        // Valid until the first message: this process may be a wrapper of the master.
        let master = i32::try_from(process.id()).expect("the kernel's pids fit");
        Self {
            process,
            status: None,
            family,
            log,
            messages,
            listeners: Vec::new(),
            master,
        }
    }

    #[track_caller]
    pub(crate) fn wait_until(&mut self, state: ServerState) {
        let Some(message) = self.messages.wait_for(state, TIMEOUT) else {
            let program = self.process.id();
            if self.family.members().is_empty() {
                // The last lines may not have been read yet.
                self.log.wait_for_end(TIMEOUT);
            }
            let (missing, known) =
                match self.messages.wait_for(ServerState::Started, Duration::ZERO) {
                    Some(_) => ("all its workers are healthy", "; its workers were started"),
                    None => ("its workers were started", ""),
                };
            panic!(
                "the server (pid {program}) did not report that {missing}: it {}{known}; {}",
                self.state(),
                self.log
            );
        };
        let master = self.family.find(message.pid);
        self.master = master.unwrap_or_else(|| {
            panic!(
                "the server (pid {}) reported that it is ready and exited; {}",
                message.pid, self.log
            )
        });
        self.listeners = message.listeners;
    }

    /// Describes the state of the started process, as a part of a sentence.
    fn state(&mut self) -> String {
        // The end of its log comes before its exit.
        let has_ended = self.log.has_ended();
        let status = if has_ended {
            within(PATIENCE, || self.try_wait())
        } else {
            self.try_wait()
        };
        let Some(status) = status else {
            return "still runs".to_owned();
        };
        match (status.code(), status.signal()) {
            (Some(code), _) => format!("exited with status {code}"),
            (None, Some(signal)) => format!("was killed by signal {signal}"),
            (None, None) => format!("exited: {status}"),
        }
    }

    /// Returns the exit status, if the started process has exited.
    fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self
                .process
                .try_wait()
                .expect("it is a child of this process");
        }
        self.status
    }

    /// Returns the address of the first listener.
    ///
    /// # Panics
    /// If the server has no listener.
    #[track_caller]
    pub fn addr(&self) -> SocketAddr {
        first_addr(&self.listeners)
    }

    /// Returns the address of the listener with this name.
    ///
    /// # Panics
    /// If the server has no listener with this name.
    #[track_caller]
    pub fn addr_of(&self, name: &str) -> SocketAddr {
        addr_of(&self.listeners, name)
    }

    /// Returns the listeners.
    pub fn listeners(&self) -> &[ListenerInfo] {
        &self.listeners
    }

    /// Returns the process id of the master.
    ///
    /// In single-process mode, it is the id of the one process.
    pub fn master_pid(&self) -> i32 {
        self.master
    }

    /// Returns the workers that the master has at this moment, by slot.
    pub fn children(&self) -> Vec<ChildInfo> {
        children_of(self.master)
    }

    /// Returns the worker that fills this slot at this moment.
    pub fn child(&self, slot: usize) -> Option<ChildInfo> {
        let mut children = self.children().into_iter();
        children.find(|child| child.slot == slot)
    }

    /// Waits until the master has this many workers, and returns them.
    ///
    /// # Panics
    /// If this does not happen within [`TIMEOUT`]. The message contains the log.
    #[track_caller]
    pub fn wait_for_children(&self, count: usize) -> Vec<ChildInfo> {
        let ask = || Some(self.children()).filter(|children| children.len() == count);
        within(TIMEOUT, ask).unwrap_or_else(|| {
            let found = self.children().len();
            let seconds = TIMEOUT.as_secs();
            panic!(
                "the master did not have {count} workers within {seconds}s (now: {found}); {}",
                self.log
            )
        })
    }

    /// Sends a signal to the master.
    pub fn signal(&self, signal: Signal) {
        // After the process was reaped, its id may belong to another process.
        if self.status.is_none() {
            send(self.master, signal);
        }
    }

    /// Sends a signal to the worker in this slot and returns that worker.
    ///
    /// If the slot has no worker, waits until it has one.
    ///
    /// # Panics
    /// If the slot has no worker within [`TIMEOUT`]. The message contains the log.
    #[track_caller]
    pub fn signal_child(&self, slot: usize, signal: Signal) -> ChildInfo {
        let child = within(TIMEOUT, || self.child(slot));
        let child = child.unwrap_or_else(|| {
            let seconds = TIMEOUT.as_secs();
            panic!("no worker in slot {slot} within {seconds}s; {}", self.log)
        });
        send(child.pid, signal);
        child
    }

    /// Sends SIGKILL to the worker in this slot and returns that worker.
    ///
    /// If the slot has no worker, waits until it has one.
    ///
    /// # Panics
    /// If the slot has no worker within [`TIMEOUT`]. The message contains the log.
    #[track_caller]
    pub fn kill_child(&self, slot: usize) -> ChildInfo {
        self.signal_child(slot, Signal::SIGKILL)
    }

    /// Waits until another worker fills the slot of this one, and returns it.
    ///
    /// # Panics
    /// If the slot has no other worker within [`TIMEOUT`]. The message contains the log.
    #[track_caller]
    pub fn wait_for_replacement(&self, old: ChildInfo) -> ChildInfo {
        let ask = || {
            let child = self.child(old.slot);
            child.filter(|child| child.pid != old.pid)
        };
        within(TIMEOUT, ask).unwrap_or_else(|| {
            let ChildInfo { slot, pid } = old;
            let seconds = TIMEOUT.as_secs();
            panic!(
                "no replacement of worker {slot} (pid {pid}) within {seconds}s; {}",
                self.log
            )
        })
    }

    /// Returns the ids of all processes of this server at this moment.
    ///
    /// These are the master, its workers, the processes that they started, and orphans of a master
    /// that has exited.
    pub fn processes(&self) -> Vec<i32> {
        self.family.members()
    }

    /// Returns the lines that the server has written so far to stdout and stderr.
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// Waits for the first matching line and returns it.
    ///
    /// # Panics
    /// If no line matches within [`TIMEOUT`] or before all processes of the server have exited. The
    /// message contains the log.
    #[track_caller]
    pub fn wait_for_log(&self, fits: impl Fn(&str) -> bool) -> String {
        let found = self.log.find(TIMEOUT, fits);
        found.unwrap_or_else(|| {
            let seconds = TIMEOUT.as_secs();
            panic!(
                "no matching log line within {seconds}s or before the server exited; {}",
                self.log
            )
        })
    }

    /// Waits until the master has exited, and returns its exit status.
    ///
    /// # Panics
    /// If it does not exit within [`TIMEOUT`]. The message contains the log.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let status = within(TIMEOUT, || self.try_wait());
        status.unwrap_or_else(|| {
            let seconds = TIMEOUT.as_secs();
            panic!("the server did not exit within {seconds}s; {}", self.log)
        })
    }

    /// Sends SIGTERM to the master and waits until it has exited.
    ///
    /// # Panics
    /// If it does not exit within [`TIMEOUT`]. The message contains the log.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits until all processes of the server have exited and returns the log.
    ///
    /// # Panics
    /// If a process that can write to the log has not exited within [`TIMEOUT`]. The message
    /// contains the log.
    #[track_caller]
    pub fn final_log(&self) -> Vec<String> {
        let is_complete = self.log.wait_for_end(TIMEOUT);
        assert!(
            is_complete,
            "a process of the server did not exit within {}s; {}",
            TIMEOUT.as_secs(),
            self.log
        );
        self.log()
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        // A stopped master cannot start a worker while its workers are killed.
        self.signal(Signal::SIGSTOP);
        let have_exited = self.family.end();
        if self.status.is_none() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
        // Wait for the end of the reading thread, so that the pipe is closed before the test
        // continues.
        self.log.wait_for_end(TIMEOUT);
        // A second panic would abort the whole test program.
        assert!(
            have_exited || std::thread::panicking(),
            "processes of the server did not exit after SIGKILL"
        );
    }
}
