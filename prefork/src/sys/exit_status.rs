//! The exit status of a process, as `waitid(2)` returns it.

/// The exit status of a reaped process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// It returned from `main` or called `exit` with this status.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The number of the signal, which may have no name.
        number: i32,
        /// Whether the kernel wrote a core file.
        core_dumped: bool,
    },
    /// Other code has reaped it, so its status is unknown.
    Unknown,
}
