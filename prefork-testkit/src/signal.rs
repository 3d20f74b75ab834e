//! The signals that a test can send.
//!
//! A type of the testkit, so that its API does not depend on the version of another crate.

use std::fmt;

use nix::sys::signal::Signal as SystemSignal;

macro_rules! signals {
    ($($name:ident: $effect:literal,)*) => {
        /// A signal, by its name in signal(7).
        ///
        /// `i32::from` returns its number, as in `status.signal() == Some(Signal::SIGKILL.into())`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[repr(i32)]
        pub enum Signal {
            $(#[doc = concat!($effect, ".")] $name = libc::$name,)*
        }

        impl Signal {
            /// Returns the signal with this number.
            pub(crate) fn from_number(number: i32) -> Option<Self> {
                match number {
                    $(libc::$name => Some(Self::$name),)*
                    _ => None,
                }
            }
        }

        /// For system calls. Not an implementation of `From`, which would be public.
        pub(crate) fn system_signal(signal: Signal) -> SystemSignal {
            match signal {
                $(Signal::$name => SystemSignal::$name,)*
            }
        }
    };
}

signals! {
    SIGHUP: "The terminal has hung up",
    SIGINT: "Ctrl-C was pressed in the terminal",
    SIGQUIT: "Ctrl-\\ was pressed in the terminal",
    SIGILL: "Illegal instruction",
    SIGTRAP: "Breakpoint of a debugger",
    SIGABRT: "`abort(3)` was called",
    SIGBUS: "Access to memory that does not exist",
    SIGFPE: "Arithmetic error",
    SIGKILL: "Ends the process at once. It cannot be handled",
    SIGUSR1: "For use by the program",
    SIGSEGV: "Invalid access to memory",
    SIGUSR2: "For use by the program",
    SIGPIPE: "A pipe or socket has no reader",
    SIGALRM: "A timer of `alarm(2)` has expired",
    SIGTERM: "Asks the process to exit",
    SIGCHLD: "A child process has exited or stopped",
    SIGCONT: "Continues a stopped process",
    SIGSTOP: "Stops the process. It cannot be handled",
    SIGTSTP: "Ctrl-Z was pressed in the terminal",
    SIGTTIN: "A background process reads from the terminal",
    SIGTTOU: "A background process writes to the terminal",
    SIGURG: "Urgent data has arrived on a socket",
    SIGXCPU: "The limit of CPU time is exceeded",
    SIGXFSZ: "The limit of the size of a file is exceeded",
    SIGVTALRM: "A timer of CPU time has expired",
    SIGPROF: "A timer of a profiler has expired",
    SIGWINCH: "The size of the terminal has changed",
    SIGIO: "Input or output is possible",
    SIGPWR: "A power supply fails",
    SIGSYS: "Invalid system call",
}

/// Returns the number of the signal.
impl From<Signal> for i32 {
    fn from(signal: Signal) -> Self {
        signal as Self
    }
}

/// Writes the name, such as `SIGKILL`.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
