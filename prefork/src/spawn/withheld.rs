//! Variables that a service manager sets for one process, which is the master: no worker inherits them.
//!
//! A worker that had them would report to the service manager in the place of its master, or be taken for a process that
//! it is not. What a child producer sets itself is kept.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// By their names. Those of socket activation (`sd_listen_fds(3)`) are replaced at each start, see
/// [`VARIABLES`](crate::listen::VARIABLES).
const NAMES: [&str; 5] = [
    // The socket for messages of the service: sd_notify(3).
    "NOTIFY_SOCKET",
    // The watchdog, which expects messages of one process: sd_watchdog_enabled(3).
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    // How many descriptors the service manager stores for the service: systemd.exec(5).
    "FDSTORE",
    // Where the descriptors of socket activation begin, for the `listenfd` crate.
    "LISTEN_FDS_FIRST_FD",
];

/// By how their names begin: `MAINPID`, and what later versions of systemd add to identify that process (`MAINPIDFDID`).
const PREFIXES: [&str; 1] = ["MAINPID"];

/// Whether a worker must not inherit the variable.
pub(super) fn is_withheld(name: &OsStr) -> bool {
    NAMES.iter().any(|withheld| name == *withheld)
        || PREFIXES
            .iter()
            .any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_names_are_withheld_and_look_alikes_are_not() {
        let is_withheld = |name| is_withheld(OsStr::new(name));
        for name in [
            "NOTIFY_SOCKET",
            "WATCHDOG_USEC",
            "WATCHDOG_PID",
            "FDSTORE",
            "MAINPID",
            "MAINPIDFDID",
        ] {
            assert!(is_withheld(name), "{name}");
        }
        // Of the unit, not of a process.
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
            assert!(!is_withheld(name), "{name}");
        }
    }
}
