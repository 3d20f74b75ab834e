//! How one child will be started, open to changes by the user's producer.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::withheld::is_withheld;

/// How a child is started: this program, with the arguments that the master was started with, and
/// the master's environment.
///
/// A function given to [`Prefork::child_producer`](crate::Prefork::child_producer) may alter it.
/// The variables by which a child knows its role, and its descriptors, are added afterwards and
/// cannot be altered.
///
/// The environment is without the variables that a service manager sets for the master alone: `NOTIFY_SOCKET`
/// (`sd_notify(3)`), `WATCHDOG_USEC` and `WATCHDOG_PID` (`sd_watchdog_enabled(3)`), `FDSTORE` and each
/// that begins with `MAINPID` (systemd.exec(5)), and `LISTEN_FDS_FIRST_FD`. A child has one of them only if the function
/// sets it by [`env`](Self::env).
#[derive(Debug)]
pub struct ChildCommand {
    pub(super) program: Option<PathBuf>,
    pub(super) args: Vec<OsString>,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) wrapper: Option<Wrapper>,
    slot: usize,
}

/// The user's function that alters how children are started.
pub(crate) type Producer = Box<
    dyn FnMut(&mut ChildCommand) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + Send,
>;

/// A program that executes another.
#[derive(Debug)]
pub(super) struct Wrapper {
    pub(super) path: PathBuf,
    pub(super) args: Vec<OsString>,
}

impl ChildCommand {
    pub(super) fn new(slot: usize) -> Self {
        Self {
            program: None,
            args: std::env::args_os().collect(),
            env: std::env::vars_os()
                .filter(|(name, _)| !is_withheld(name))
                .collect(),
            wrapper: None,
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

    /// Starts the program by another one, which executes it in its own place: `nice`, `taskset`,
    /// `setpriv` and the like, by path. The program and its arguments are added behind `args`.
    ///
    /// The master's own program is named as `/proc/<master>/fd/<number>`, so that it is the file
    /// that is held open, whatever its path leads to by now.
    pub fn wrapper<A: Into<OsString>>(
        &mut self,
        path: impl Into<PathBuf>,
        args: impl IntoIterator<Item = A>,
    ) -> &mut Self {
        self.wrapper = Some(Wrapper {
            path: path.into(),
            args: args.into_iter().map(Into::into).collect(),
        });
        self
    }

    /// Replaces the arguments, but for the program's own name.
    pub fn args<A: Into<OsString>>(&mut self, args: impl IntoIterator<Item = A>) -> &mut Self {
        self.args.truncate(1);
        self.args.extend(args.into_iter().map(Into::into));
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
