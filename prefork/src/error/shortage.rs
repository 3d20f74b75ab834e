//! Log lines about a shortage of descriptors or memory in accept.

use std::fmt;
use std::io;
use std::time::Duration;

use prefork_options::duration;

/// The beginning or the end of a shortage at one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shortage {
    /// The listener's name.
    pub(crate) listener: String,
    pub(crate) stage: ShortageStage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShortageStage {
    Begins {
        /// The error of accept.
        errno: i32,
        /// The limit of open descriptors (`RLIMIT_NOFILE`); 0 if it is not known.
        limit: u64,
    },
    IsOver {
        lasted: Duration,
    },
}

/// Follows the name of the process that accepts.
impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listener = &self.listener;
        match self.stage {
            ShortageStage::Begins { errno, limit } => {
                let error = io::Error::from_raw_os_error(errno);
                write!(
                    f,
                    "cannot accept connections on listener '{listener}': {error}; clients wait in the queue: {}",
                    ShortageHelp { errno, limit }
                )
            }
            ShortageStage::IsOver { lasted } => {
                write!(
                    f,
                    "accepts connections on listener '{listener}' again after {}",
                    duration::rounded(lasted)
                )
            }
        }
    }
}

struct ShortageHelp {
    errno: i32,
    limit: u64,
}

impl fmt::Display for ShortageHelp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errno {
            libc::EMFILE if self.limit > 0 => write!(
                f,
                "raise the limit of {} open files (`ulimit -n`, or LimitNOFILE= of systemd)",
                self.limit
            ),
            libc::EMFILE => {
                f.write_str("raise the limit of open files (`ulimit -n`, or LimitNOFILE= of systemd)")
            }
            libc::ENFILE => {
                f.write_str("raise the limit of open files of the whole system (`sysctl fs.file-max`)")
            }
            libc::ENOSPC => f.write_str(
                "raise the limit of epoll watches (`sysctl fs.epoll.max_user_watches`)",
            ),
            _ => f.write_str(
                "free memory or raise the memory limits (MemoryMax= of systemd, `sysctl net.ipv4.tcp_mem`)",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins(errno: i32, limit: u64) -> String {
        let shortage = Shortage {
            listener: "http".to_owned(),
            stage: ShortageStage::Begins { errno, limit },
        };
        shortage.to_string()
    }

    #[test]
    fn the_line_names_the_listener_the_error_and_what_to_raise() {
        let expected = format!(
            "cannot accept connections on listener 'http': {}; clients wait in the queue: \
             raise the limit of 24 open files (`ulimit -n`, or LimitNOFILE= of systemd)",
            io::Error::from_raw_os_error(libc::EMFILE)
        );
        assert_eq!(begins(libc::EMFILE, 24), expected);
        for (errno, hint) in [
            (libc::EMFILE, "raise the limit of open files (`ulimit -n`"),
            (libc::ENFILE, "fs.file-max"),
            (libc::ENOSPC, "fs.epoll.max_user_watches"),
            (libc::ENOMEM, "memory"),
            (libc::ENOBUFS, "memory"),
        ] {
            let line = begins(errno, 0);
            assert!(line.contains(hint), "{line}");
        }
    }

    #[test]
    fn the_last_line_has_the_duration() {
        let shortage = Shortage {
            listener: "http".to_owned(),
            stage: ShortageStage::IsOver {
                lasted: Duration::from_millis(5_120),
            },
        };
        let expected = "accepts connections on listener 'http' again after 5.1s";
        assert_eq!(shortage.to_string(), expected);
    }
}
