//! The command that starts one worker, which the `child_producer` of the user can change.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::service_manager_env::is_for_master_only;

/// The command that starts a worker.
///
/// The default is this program, with the arguments and the environment of the master. The function
/// that is set with [`Prefork::child_producer`](crate::Prefork::child_producer) can change it.
/// Afterwards, the master adds the variables and descriptors that make the process a worker; the
/// function cannot change them.
///
/// The environment lacks the variables that a service manager sets for the master only:
/// `NOTIFY_SOCKET` (`sd_notify(3)`), `WATCHDOG_USEC` and `WATCHDOG_PID` (`sd_watchdog_enabled(3)`),
/// `FDSTORE` and all variables that begin with `MAINPID` (`systemd.exec(5)`), and
/// `LISTEN_FDS_FIRST_FD`. A worker has one of these variables only if the function sets it with
/// [`env`](Self::env).
#[derive(Debug)]
pub struct ChildCommand {
    pub(super) program: Option<PathBuf>,
    pub(super) args: Vec<OsString>,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) wrapper: Option<WrapperCommand>,
    slot: usize,
}

/// The user's `child_producer` function.
pub(crate) type CommandHook = Box<
    dyn FnMut(&mut ChildCommand) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + Send,
>;

/// A program that executes another one in the same process.
#[derive(Debug)]
pub(super) struct WrapperCommand {
    pub(super) path: PathBuf,
    pub(super) args: Vec<OsString>,
}

impl ChildCommand {
    pub(super) fn new(slot: usize) -> Self {
        Self {
            program: None,
            args: std::env::args_os().collect(),
            env: std::env::vars_os()
                .filter(|(name, _)| !is_for_master_only(name))
                .collect(),
            wrapper: None,
            slot,
        }
    }

    /// Returns the slot of the worker, from 0. Of a standby: a number after those of all slots.
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// Starts another program, by its path and without arguments.
    ///
    /// Add arguments with [`arg`](Self::arg). The kernel looks up the path at each start. The
    /// program gets the same descriptors and variables as a worker of this program.
    ///
    /// A program that does not use prefork is healthy after `healthy_after`. The master asks it to
    /// stop with SIGTERM, and the kernel sends it SIGTERM if the master dies (parent-death signal,
    /// `prctl(2)`). It starts with SIGINT, SIGHUP and SIGQUIT blocked, because a terminal sends
    /// them to the whole process group and the master decides.
    pub fn program(&mut self, path: impl Into<PathBuf>) -> &mut Self {
        let path = path.into();
        self.args = vec![path.clone().into_os_string()];
        self.program = Some(path);
        self
    }

    /// Starts the program through a wrapper that executes it in the same process.
    ///
    /// Examples: `nice`, `taskset`, `setpriv`. `path` is the path of the wrapper. The program and
    /// its arguments are appended to `args`.
    ///
    /// If [`program`](Self::program) is not called, the wrapper gets the program as
    /// `/proc/<pid of the master>/fd/<number>`. So it executes the file that the master holds open,
    /// even if the path of the program names another file by now.
    pub fn wrapper<A: Into<OsString>>(
        &mut self,
        path: impl Into<PathBuf>,
        args: impl IntoIterator<Item = A>,
    ) -> &mut Self {
        self.wrapper = Some(WrapperCommand {
            path: path.into(),
            args: args.into_iter().map(Into::into).collect(),
        });
        self
    }

    /// Replaces the arguments after the first one, which is the name of the program.
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

    /// Sets a variable in the environment of the worker.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl Into<OsString>) -> &mut Self {
        let name = name.as_ref();
        self.env_remove(name);
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Removes a variable from the environment of the worker.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        let name = name.as_ref();
        self.env.retain(|(known, _)| known != name);
        self
    }
}
