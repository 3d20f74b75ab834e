//! What an error of accept(2) means for the accept loop. Pure.

use std::io;
use std::time::Duration;

/// What to do about an error of accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AcceptError {
    /// One connection failed; the next one may not. Accept again at once.
    OfConnection,
    /// No descriptors or no memory are left. The connection stays in the queue; accept again later.
    Shortage,
    /// The socket can no longer accept, or this process is not allowed to. A retry does not help.
    Permanent,
}

/// Classifies the errors of `accept(2)` and of `epoll_ctl(2)`, with which a runtime registers a
/// connection.
///
/// `WouldBlock` and `Interrupted` are not failures; the callers handle them.
pub(crate) fn classify(error: &io::Error) -> AcceptError {
    // An error without errno does not come from a system call: for example, the runtime shuts down.
    let Some(errno) = error.raw_os_error() else {
        return AcceptError::Permanent;
    };
    match errno {
        // "Already-pending network errors on the new socket", to be treated like `EAGAIN`
        // (accept(2)). `EPERM`: a firewall rejects the connection.
        libc::ECONNABORTED
        | libc::ECONNRESET
        | libc::ECONNREFUSED
        | libc::EHOSTDOWN
        | libc::EHOSTUNREACH
        | libc::ENETDOWN
        | libc::ENETUNREACH
        | libc::ENOPROTOOPT
        | libc::EPERM
        | libc::EPROTO
        | libc::ETIMEDOUT => AcceptError::OfConnection,
        #[cfg(any(target_os = "linux", target_os = "android"))]
        libc::ENONET => AcceptError::OfConnection,
        // `ENOSPC`: the user has too many epoll watches.
        libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::ENOSPC => {
            AcceptError::Shortage
        }
        _ => AcceptError::Permanent,
    }
}

/// The pause between two accepts in a shortage: the end of a request may free descriptors.
pub(crate) const RETRY: Duration = Duration::from_millis(100);

/// How many connections in a row may fail before the error counts as permanent.
///
/// More than any usual length of an accept queue: a seccomp filter may return `EPERM` forever.
pub(super) const MAX_FAILED_CONNECTIONS: u32 = 10_000;

/// Counts consecutive failed connections within one call of accept.
#[derive(Debug, Default)]
pub(super) struct FailedConnections(u32);

impl FailedConnections {
    /// Whether to accept again at once.
    pub(super) fn allows_retry(&mut self, error: &io::Error) -> bool {
        self.0 += 1;
        classify(error) == AcceptError::OfConnection && self.0 < MAX_FAILED_CONNECTIONS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_accept_is_classified() {
        use AcceptError::{OfConnection, Permanent, Shortage};

        let table = [
            (libc::ECONNABORTED, OfConnection),
            (libc::ECONNREFUSED, OfConnection),
            (libc::ECONNRESET, OfConnection),
            (libc::EHOSTDOWN, OfConnection),
            (libc::EHOSTUNREACH, OfConnection),
            (libc::ENETDOWN, OfConnection),
            (libc::ENETUNREACH, OfConnection),
            #[cfg(target_os = "linux")]
            (libc::ENONET, OfConnection),
            (libc::ENOPROTOOPT, OfConnection),
            (libc::EPERM, OfConnection),
            (libc::EPROTO, OfConnection),
            (libc::ETIMEDOUT, OfConnection),
            (libc::EMFILE, Shortage),
            (libc::ENFILE, Shortage),
            (libc::ENOBUFS, Shortage),
            (libc::ENOMEM, Shortage),
            (libc::ENOSPC, Shortage),
            (libc::EACCES, Permanent),
            (libc::EBADF, Permanent),
            (libc::EFAULT, Permanent),
            (libc::EINVAL, Permanent),
            (libc::EIO, Permanent),
            (libc::ENOSYS, Permanent),
            (libc::ENOTSOCK, Permanent),
            (libc::EOPNOTSUPP, Permanent),
        ];
        for (errno, class) in table {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(classify(&error), class, "{error}");
        }
        assert_eq!(classify(&io::Error::other("no runtime")), Permanent);
    }

    #[test]
    fn failed_connections_are_skipped_up_to_a_limit() {
        let rejected = io::Error::from_raw_os_error(libc::EPERM);
        let mut failed = FailedConnections::default();
        let skipped = (0..=MAX_FAILED_CONNECTIONS).filter(|_| failed.allows_retry(&rejected));
        assert_eq!(skipped.count(), MAX_FAILED_CONNECTIONS as usize - 1);
        let shortage = io::Error::from_raw_os_error(libc::EMFILE);
        assert!(!FailedConnections::default().allows_retry(&shortage));
    }
}
