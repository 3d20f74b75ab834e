//! The last exit of each slot: for the hooks of the replacement, and for the error of a master that
//! gives up.
//!
//! Counts equal exits in a row, so that the log gives a cause once. Handles texts only; knows no
//! processes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::notice::PreviousChild;

/// The exits that are still needed.
#[derive(Debug, Default)]
pub(super) struct ExitHistory {
    /// The last exit of each slot, until the slot is filled again.
    slots: HashMap<usize, LastExit>,
    streak: ExitStreak,
}

/// How one child exited, or why it could not be started.
#[derive(Debug, Clone)]
struct LastExit {
    /// The last process of the slot, if there was one.
    pid: Option<i32>,
    cause: String,
    line: String,
}

/// Consecutive exits with the same cause, in any slot.
#[derive(Debug, Default)]
struct ExitStreak {
    how: String,
    count: u32,
    /// When the log gave the cause last.
    named: Option<Instant>,
}

/// The time after which the log gives a repeated cause in full again.
///
/// Its reader may not see the first line any more.
const REPEAT_INTERVAL: Duration = Duration::from_mins(1);

impl ExitHistory {
    /// Counts an exit with this cause.
    ///
    /// Returns the number of equal exits in a row, including this one, if the log need not give the
    /// cause again.
    pub(super) fn count(&mut self, how: &str, now: Instant) -> Option<u32> {
        if self.streak.how != how {
            self.streak = ExitStreak {
                how: how.to_owned(),
                ..ExitStreak::default()
            };
        }
        self.streak.count = self.streak.count.saturating_add(1);
        let is_recent = |logged: Instant| now.saturating_duration_since(logged) < REPEAT_INTERVAL;
        if self.streak.named.is_some_and(is_recent) {
            return Some(self.streak.count);
        }
        self.streak.named = Some(now);
        None
    }

    /// Records that the process of this slot exited and is to be replaced.
    pub(super) fn exited(&mut self, slot: usize, pid: i32, how: String, line: String) {
        let pid = Some(pid);
        self.slots.insert(
            slot,
            LastExit {
                pid,
                cause: how,
                line,
            },
        );
    }

    /// Records that no process could be started in this slot.
    pub(super) fn not_started(&mut self, slot: usize, error: &str) {
        let pid = self.slots.get(&slot).and_then(|ending| ending.pid);
        let text = error.to_owned();
        let ending = LastExit {
            pid,
            cause: text.clone(),
            line: text,
        };
        self.slots.insert(slot, ending);
    }

    /// The slot is filled again. Returns the process that it had before.
    pub(super) fn replaced(&mut self, slot: usize) -> Option<PreviousChild> {
        let LastExit {
            pid, cause: how, ..
        } = self.slots.remove(&slot)?;
        Some(PreviousChild { pid: pid?, how })
    }

    /// The last process of this slot, if it has exited.
    pub(super) fn last_pid(&self, slot: usize) -> Option<i32> {
        self.slots.get(&slot)?.pid
    }

    /// The last exit of this slot, for the error of a master that gives up.
    pub(super) fn last(&self, slot: usize) -> String {
        let Some(ending) = self.slots.get(&slot) else {
            return String::new();
        };
        match &self.streak {
            ExitStreak { how, count, .. } if *count > 1 && *how == ending.cause => {
                format!("each of the last {count} {how}")
            }
            ExitStreak { .. } => format!("last exit: {}", ending.line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOW: &str = "exited with status 1: main returned an error: no";

    #[test]
    fn equal_causes_in_a_row_are_logged_once_a_minute() {
        let start = Instant::now();
        let mut endings = ExitHistory::default();
        assert_eq!(endings.count(HOW, start), None);
        assert_eq!(endings.count(HOW, start), Some(2));
        assert_eq!(endings.count(HOW, start + REPEAT_INTERVAL), None);
        assert_eq!(endings.count(HOW, start + REPEAT_INTERVAL), Some(4));
        assert_eq!(endings.count("was killed by SIGKILL", start), None);
        assert_eq!(endings.count(HOW, start), None);
    }

    #[test]
    fn the_error_of_the_master_sums_up_equal_causes() {
        let now = Instant::now();
        let mut endings = ExitHistory::default();
        for pid in 1..4 {
            endings.count(HOW, now);
            endings.exited(
                0,
                pid,
                HOW.to_owned(),
                format!("worker 0 (pid {pid}) {HOW}"),
            );
        }
        assert_eq!(endings.last(0), format!("each of the last 3 {HOW}"));
        endings.count("was killed by SIGKILL", now);
        assert_eq!(
            endings.last(0),
            format!("last exit: worker 0 (pid 3) {HOW}")
        );
    }

    #[test]
    fn the_previous_process_of_a_slot_is_returned_once() {
        let mut endings = ExitHistory::default();
        assert_eq!(endings.replaced(0), None);
        endings.exited(0, 7, HOW.to_owned(), String::new());
        endings.not_started(0, "out of memory");
        let how = "out of memory".to_owned();
        assert_eq!(endings.replaced(0), Some(PreviousChild { pid: 7, how }));
        assert_eq!(endings.replaced(0), None);
    }
}
