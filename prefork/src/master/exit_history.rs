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
#[derive(Debug)]
pub(super) struct LastExit {
    pub(super) child: ChildId,
    /// The last process of the slot, if there was one.
    pub(super) pid: Option<i32>,
    pub(super) cause: String,
    pub(super) line: String,
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

    /// Records how the last child of this slot exited, or why it could not be started.
    ///
    /// A child that was given up can exit after its replacement.
    pub(super) fn record(&mut self, slot: usize, exit: LastExit) {
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

    fn exit(child: ChildId, pid: Option<i32>, cause: &str) -> LastExit {
        LastExit {
            child,
            pid,
            cause: cause.to_owned(),
            line: String::new(),
        }
    }

    /// As the master does for a child that could not be started.
    fn not_started(endings: &mut ExitHistory, child: ChildId, previous: Option<ChildId>) {
        let pid = endings.replaced(0, previous).map(|replaced| replaced.pid);
        endings.record(0, exit(child, pid, "out of memory"));
    }

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
            let line = format!("worker 0 (pid {pid}) {HOW}");
            endings.record(
                0,
                LastExit {
                    line,
                    ..exit(ChildId(1), Some(pid), HOW)
                },
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
        endings.record(0, exit(first, Some(7), HOW));
        not_started(&mut endings, second, Some(first));
        let how = "out of memory".to_owned();
        let previous = Some(PreviousChild { pid: 7, how });
        assert_eq!(endings.replaced(0, Some(second)), previous);
        assert_eq!(endings.replaced(0, Some(second)), None);
    }

    #[test]
    fn the_first_child_of_a_slot_that_was_added_again_replaces_no_process() {
        let mut endings = ExitHistory::default();
        let [old, first, second] = [ChildId(1), ChildId(2), ChildId(3)];
        endings.record(0, exit(old, Some(7), HOW));
        assert_eq!(endings.replaced(0, None), None);
        endings.record(0, exit(old, Some(7), HOW));
        not_started(&mut endings, first, None);
        assert_eq!(endings.replaced(0, Some(first)), None);
        not_started(&mut endings, second, Some(first));
        assert_eq!(endings.replaced(0, Some(second)), None);
    }

    #[test]
    fn a_child_that_exits_after_it_was_given_up_does_not_hide_a_later_exit() {
        let mut endings = ExitHistory::default();
        let [given_up, replacement] = [ChildId(1), ChildId(2)];
        endings.record(0, exit(replacement, Some(8), HOW));
        endings.record(0, exit(given_up, Some(7), "was killed"));
        let how = HOW.to_owned();
        let previous = Some(PreviousChild { pid: 8, how });
        assert_eq!(endings.replaced(0, Some(replacement)), previous);
        endings.record(0, exit(given_up, Some(7), "was killed"));
        assert_eq!(endings.replaced(0, Some(replacement)), None);
    }
}
