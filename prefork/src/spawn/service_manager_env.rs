//! Variables that a service manager sets for one process, the master. Workers do not inherit them.
//!
//! A worker with these variables would report to the service manager instead of its master, or
//! would be taken for another process. Variables that a `child_producer` sets itself are kept.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Complete names. The variables of socket activation (`sd_listen_fds(3)`) are replaced at each
/// start; see [`VARIABLES`](crate::listen::VARIABLES).
const NAMES: [&str; 6] = [
    // The socket for messages of the service: `sd_notify(3)`.
    "NOTIFY_SOCKET",
    // The descriptor for the same messages. It is not open in a worker.
    "PREFORK_NOTIFY_FD",
    // The watchdog, which expects messages of one process: `sd_watchdog_enabled(3)`.
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    // The number of descriptors that the service manager can store for the service:
    // `systemd.exec(5)`.
    "FDSTORE",
    // The first descriptor of socket activation, for the `listenfd` crate.
    "LISTEN_FDS_FIRST_FD",
];

/// Prefixes of names.
///
/// `MAINPID`, and what later versions of systemd add to identify that process (`MAINPIDFDID`).
const PREFIXES: [&str; 1] = ["MAINPID"];

/// Whether a worker must not inherit the variable.
pub(super) fn is_for_master_only(name: &OsStr) -> bool {
    NAMES.iter().any(|private| name == *private)
        || PREFIXES
            .iter()
            .any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_names_and_prefixes_are_private() {
        let private = |name| is_for_master_only(OsStr::new(name));
        for name in [
            "NOTIFY_SOCKET",
            "PREFORK_NOTIFY_FD",
            "WATCHDOG_USEC",
            "WATCHDOG_PID",
            "FDSTORE",
            "MAINPID",
            "MAINPIDFDID",
        ] {
            assert!(private(name), "{name}");
        }
        // Variables of the unit, not of a process.
        for name in [
            "MY_NOTIFY_SOCKET",
            "NOTIFY_SOCKETS",
            "INVOCATION_ID",
            "JOURNAL_STREAM",
            "CREDENTIALS_DIRECTORY",
            "STATE_DIRECTORY",
            "PATH",
            "",
        ] {
            assert!(!private(name), "{name}");
        }
    }
}
