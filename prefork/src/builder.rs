//! The builder: one setter for each option.
//!
//! It collects values and functions. What a process does with them is decided in `run`.

mod callbacks;
mod setters;

use std::fmt;

use crate::config::{Configuration, OptionLayers, ProgramSource};
use crate::hook::{HookError, Hooks, Init, OnceHook};
use crate::listen::OnSocket;
use crate::master::Logger;
use crate::spawn::CommandHook;
use crate::worker::child_env;

/// Builds and runs a master and its workers, with options chosen at run time.
///
/// Every option of the attribute is a method of the same name, and the attribute expands to calls
/// of these methods. With the defaults there is no listener, and one worker per CPU.
///
/// [`main`](Self::main), [`run`](Self::run) and [`start`](Self::start) consume the builder, so that
/// each master has its own functions. To try again after an error, create another builder.
///
/// # Examples
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     prefork::Prefork::new()
///         .listen("127.0.0.1:8080")
///         .workers(2)
///         .main(|worker: prefork::Worker| {
///             let listener = worker.listener("listener0").expect("the listener is configured");
///             while let Some(connection) = listener.blocking_accept() {
///                 drop(connection);
///             }
///         })
/// }
/// ```
#[derive(Default)]
#[must_use = "call `main`, `run` or `start`"]
pub struct Prefork {
    pub(crate) options: OptionLayers,
    pub(crate) producer: Option<CommandHook>,
    pub(crate) on_socket: Option<OnSocket>,
    pub(crate) init: Option<Init>,
    pub(crate) hooks: Hooks,
    pub(crate) on_master_death: Option<OnceHook>,
    pub(crate) logger: Option<Logger>,
    pub(crate) configure: Option<Configure>,
    pub(crate) handles_signals: bool,
}

/// The user's function that changes the options last.
pub(crate) type Configure = Box<dyn FnMut(&mut Configuration) -> Result<(), HookError> + Send>;

impl Prefork {
    /// Creates a builder with the default of every option.
    pub fn new() -> Self {
        // Read the role, and remove it from the environment, as early as possible.
        child_env();
        Self::default()
    }

    /// Records that the attribute calls the setters from now on.
    pub(crate) fn set_by_attribute(mut self) -> Self {
        self.options.source = ProgramSource::Attribute;
        self
    }

    /// Lets the master handle the signals of this process and set its name.
    ///
    /// SIGTERM, SIGQUIT and SIGINT request a graceful stop. A SIGINT 250 ms or more after the first
    /// of these signals kills the workers at once. SIGHUP requests a rollout, see
    /// [`Handle::reload`](crate::Handle::reload). `ps -o comm` shows the role of the
    /// process after its name.
    ///
    /// The attribute and [`main`](Self::main) call this method. Without it, the master handles no
    /// signals, and the process keeps its name.
    pub fn handle_signals(mut self) -> Self {
        self.handles_signals = true;
        self
    }
}

impl fmt::Debug for Prefork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefork")
            .field("options", &self.options)
            .field("handles_signals", &self.handles_signals)
            .finish_non_exhaustive()
    }
}
