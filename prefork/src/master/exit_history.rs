//! The last exit of each slot: for the hooks of the replacement, and for the error of a master that
//! gives up.
//!
//! Counts equal exits in a row, so that the log gives a cause once. Handles texts only; knows no
//! processes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::notice::PreviousChild;
use crate::supervisor::ChildId;

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
    child: ChildId,
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

    /// Records that the process of this child exited and is to be replaced.
    pub(super) fn exited(
        &mut self,
        slot: usize,
        child: ChildId,
        pid: i32,
        how: String,
        line: String,
    ) {
        let exit = LastExit {
            child,
            pid: Some(pid),
            cause: how,
            line,
        };
        self.record(slot, exit);
    }

    /// Records that no process could be started for this child.
    pub(super) fn not_started(
        &mut self,
        slot: usize,
        child: ChildId,
        previous: Option<ChildId>,
        error: &str,
    ) {
        let exit = LastExit {
            child,
            pid: self.replaced(slot, previous).map(|replaced| replaced.pid),
            cause: error.to_owned(),
            line: error.to_owned(),
        };
        self.record(slot, exit);
    }

    /// A child that was given up can exit after its replacement.
    fn record(&mut self, slot: usize, exit: LastExit) {
        let later = self.slots.get(&slot);
        if later.is_none_or(|later| later.child <= exit.child) {
            self.slots.insert(slot, exit);
        }
    }

    /// The slot is filled. Returns the process of the child that is replaced.
    ///
    /// The last exit of the slot may be that of another child: the slot was removed and added again,
    /// or the replaced child was given up.
    pub(super) fn replaced(
        &mut self,
        slot: usize,
        previous: Option<ChildId>,
    ) -> Option<PreviousChild> {
        let exit = self.slots.remove(&slot)?;
        let (pid, how) = (exit.pid?, exit.cause);
        (previous == Some(exit.child)).then_some(PreviousChild { pid, how })
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
                ChildId(1),
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
        let [first, second] = [ChildId(1), ChildId(2)];
        assert_eq!(endings.replaced(0, None), None);
        endings.exited(0, first, 7, HOW.to_owned(), String::new());
        endings.not_started(0, second, Some(first), "out of memory");
        let how = "out of memory".to_owned();
        let previous = Some(PreviousChild { pid: 7, how });
        assert_eq!(endings.replaced(0, Some(second)), previous);
        assert_eq!(endings.replaced(0, Some(second)), None);
    }

    #[test]
    fn the_first_child_of_a_slot_that_was_added_again_replaces_no_process() {
        let mut endings = ExitHistory::default();
        let [old, first, second] = [ChildId(1), ChildId(2), ChildId(3)];
        endings.exited(0, old, 7, HOW.to_owned(), String::new());
        assert_eq!(endings.replaced(0, None), None);
        endings.exited(0, old, 7, HOW.to_owned(), String::new());
        endings.not_started(0, first, None, "out of memory");
        assert_eq!(endings.replaced(0, Some(first)), None);
        endings.not_started(0, second, Some(first), "out of memory");
        assert_eq!(endings.replaced(0, Some(second)), None);
    }

    #[test]
    fn a_child_that_exits_after_it_was_given_up_does_not_hide_a_later_exit() {
        let mut endings = ExitHistory::default();
        let [given_up, replacement] = [ChildId(1), ChildId(2)];
        endings.exited(0, replacement, 8, HOW.to_owned(), String::new());
        endings.exited(0, given_up, 7, "was killed".to_owned(), String::new());
        let how = HOW.to_owned();
        let previous = Some(PreviousChild { pid: 8, how });
        assert_eq!(endings.replaced(0, Some(replacement)), previous);
        endings.exited(0, given_up, 7, "was killed".to_owned(), String::new());
        assert_eq!(endings.replaced(0, Some(replacement)), None);
    }
}
