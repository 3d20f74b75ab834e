//! How a process ended, in the words of `waitid(2)`. It does not know who waited.

/// Of a process that was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// It returned or called `exit` with this status.
    Code(i32),
    /// This signal ended it.
    Signal {
        /// The signal's number; it may be one that has no name.
        number: i32,
        /// Whether a core file was written.
        core_dumped: bool,
    },
    /// Somebody else has reaped it; its status is lost.
    Unknown,
}
