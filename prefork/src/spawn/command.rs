//! How one child will be started, open to changes by the user's producer.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// How a child is started: this program, with the arguments that the master was started with, and
/// the master's environment.
///
/// A function given to [`Prefork::child_producer`](crate::Prefork::child_producer) may alter it.
/// The variables by which a child knows its role, and its descriptors, are added afterwards and
/// cannot be altered.
#[derive(Debug)]
pub struct ChildCommand {
    pub(super) program: Option<PathBuf>,
    pub(super) args: Vec<OsString>,
    pub(super) env: Vec<(OsString, OsString)>,
    slot: usize,
}

impl ChildCommand {
    pub(super) fn new(slot: usize) -> Self {
        Self {
            program: None,
            args: std::env::args_os().collect(),
            env: std::env::vars_os().collect(),
            slot,
        }
    }

    /// The slot that the child will fill, from 0.
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// Starts another program, by its path, with no arguments until some are added.
    ///
    /// The program is looked up at each start; it gets the same descriptors and variables. If it
    /// does not speak the protocol it counts as ready after a second, gets SIGTERM to stop, and
    /// SIGTERM as parent-death signal (`prctl(2)`). It starts with SIGINT, SIGHUP and SIGQUIT
    /// blocked, since a terminal sends them to the whole group and the master decides.
    pub fn program(&mut self, path: impl Into<PathBuf>) -> &mut Self {
        let path = path.into();
        self.args = vec![path.clone().into_os_string()];
        self.program = Some(path);
        self
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl Into<OsString>) -> &mut Self {
        self.args.push(arg.into());
        self
    }

    /// Sets a variable of the child's environment.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl Into<OsString>) -> &mut Self {
        let name = name.as_ref();
        self.env_remove(name);
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Removes a variable from the child's environment.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        let name = name.as_ref();
        self.env.retain(|(known, _)| known != name);
        self
    }
}
