//! A worker that has exited and that its tracer (a debugger, strace) keeps from being reaped.
//!
//! Only the tracer may wait for such a zombie until it detaches (`ptrace(2)`). `waitid(2)` returns
//! nothing for it to the master, but `/proc` shows it.

use std::fs;

/// What `/proc` shows of a worker that cannot be reaped yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TracedExit {
    /// The pid of the tracer. Zero if it is in another PID namespace.
    pub(super) tracer: i32,
    pub(super) was_killed: bool,
}

impl TracedExit {
    /// Reads `/proc`. `None` if the process has no tracer.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        Some(Self {
            tracer: tracer(&status)?,
            was_killed: was_killed(&stat),
        })
    }
}

/// `TracerPid` of `proc_pid_status(5)`: 0 if the process is not traced.
fn tracer(status: &str) -> Option<i32> {
    let mut lines = status.lines();
    let value = lines.find_map(|line| line.strip_prefix("TracerPid:"))?;
    value.trim().parse().ok().filter(|&tracer| tracer != 0)
}

/// Whether a signal killed the process, by field 52 of `proc_pid_stat(5)`.
///
/// The field has the form of `wait(2)`, with the signal in the low seven bits. It is 0 if this
/// process may not read it.
fn was_killed(stat: &str) -> bool {
    // The name is in parentheses and may contain any character; the state after it is field 3.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let status = fields.split_whitespace().nth(52 - 3);
    status
        .and_then(|status| status.parse::<i32>().ok())
        .is_some_and(|status| status & 0x7f != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tracer_is_read_and_zero_means_none() {
        let status = "Name:\tTracerPid: 3\nState:\tZ (zombie)\nTracerPid:\t4711\nUid:\t0\n";
        assert_eq!(tracer(status), Some(4711));
        assert_eq!(tracer("Name:\tx\nTracerPid:\t0\n"), None);
        assert_eq!(tracer(""), None);
    }

    #[test]
    fn a_signal_is_distinguished_from_an_exit_status() {
        let stat = |status: i32| {
            let fields = vec!["0"; 48].join(" ");
            format!("12 (a) b) Z {fields} {status}\n")
        };
        assert!(was_killed(&stat(9)));
        // Killed, with a core dump.
        assert!(was_killed(&stat(0x80 | 6)));
        assert!(!was_killed(&stat(3 << 8)));
        assert!(!was_killed(&stat(0)));
        assert!(!was_killed(""));
    }

    #[test]
    fn the_status_is_the_last_field_of_this_process() {
        let pid = std::process::id();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("/proc");
        let (_, fields) = stat.rsplit_once(") ").expect("a name");
        assert_eq!(
            fields.split_whitespace().count(),
            50,
            "the status is the last one"
        );
    }
}
