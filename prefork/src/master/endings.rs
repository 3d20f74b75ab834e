//! How children ended: for the hooks of their replacements, and for the last paragraph of a master that gives up.
//!
//! Equal endings in a row are counted, so that a log names a cause once. Knows texts; does not know processes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The endings that still matter.
#[derive(Debug, Default)]
pub(super) struct Endings {
    /// Of each slot the last one, until the slot is filled again.
    slots: HashMap<usize, Ending>,
    row: Row,
}

/// How one child ended, or why it could not be started.
#[derive(Debug, Clone)]
struct Ending {
    /// The last process of the slot, if it had one.
    pid: Option<i32>,
    how: String,
    line: String,
}

/// Equal endings, one after the other, whatever slots they are of.
#[derive(Debug, Default)]
struct Row {
    how: String,
    count: u32,
    /// When the log named the cause last.
    named: Option<Instant>,
}

/// The child whose slot is filled again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Predecessor {
    pub(super) pid: i32,
    /// `exited with status 1: main returned an error: no database`
    pub(super) how: String,
}

/// A log names the cause of equal endings again after this long, since its reader may not see the first line any more.
const NAMED_AGAIN: Duration = Duration::from_mins(1);

impl Endings {
    /// A child ended in this way. Returns how many in a row did, this one included, if the log need not name the cause
    /// again.
    pub(super) fn count(&mut self, how: &str, now: Instant) -> Option<u32> {
        if self.row.how != how {
            self.row = Row {
                how: how.to_owned(),
                ..Row::default()
            };
        }
        self.row.count = self.row.count.saturating_add(1);
        let is_recent = |named: Instant| now.saturating_duration_since(named) < NAMED_AGAIN;
        if self.row.named.is_some_and(is_recent) {
            return Some(self.row.count);
        }
        self.row.named = Some(now);
        None
    }

    /// The process in this slot ended, and is to be replaced.
    pub(super) fn exited(&mut self, slot: usize, pid: i32, how: String, line: String) {
        let pid = Some(pid);
        self.slots.insert(slot, Ending { pid, how, line });
    }

    /// No process could be started in this slot.
    pub(super) fn not_started(&mut self, slot: usize, error: &str) {
        let pid = self.slots.get(&slot).and_then(|ending| ending.pid);
        let text = error.to_owned();
        let ending = Ending {
            pid,
            how: text.clone(),
            line: text,
        };
        self.slots.insert(slot, ending);
    }

    /// The slot is filled again; returns whose slot it was.
    pub(super) fn replaced(&mut self, slot: usize) -> Option<Predecessor> {
        let Ending { pid, how, .. } = self.slots.remove(&slot)?;
        Some(Predecessor { pid: pid?, how })
    }

    /// How it came to the end of this slot, for the last paragraph.
    pub(super) fn last(&self, slot: usize) -> String {
        let Some(ending) = self.slots.get(&slot) else {
            return String::new();
        };
        match &self.row {
            Row { how, count, .. } if *count > 1 && *how == ending.how => {
                format!("each of the last {count} {how}")
            }
            Row { .. } => format!("the last: {}", ending.line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOW: &str = "exited with status 1: main returned an error: no";

    #[test]
    fn equal_causes_in_a_row_are_named_once_a_minute() {
        let start = Instant::now();
        let mut endings = Endings::default();
        assert_eq!(endings.count(HOW, start), None);
        assert_eq!(endings.count(HOW, start), Some(2));
        assert_eq!(endings.count(HOW, start + NAMED_AGAIN), None);
        assert_eq!(endings.count(HOW, start + NAMED_AGAIN), Some(4));
        assert_eq!(endings.count("was killed by SIGKILL", start), None);
        assert_eq!(endings.count(HOW, start), None);
    }

    #[test]
    fn the_last_paragraph_sums_up_equal_causes() {
        let now = Instant::now();
        let mut endings = Endings::default();
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
        assert_eq!(endings.last(0), format!("the last: worker 0 (pid 3) {HOW}"));
    }

    #[test]
    fn a_replacement_is_told_of_the_process_before_it_and_no_longer() {
        let mut endings = Endings::default();
        assert_eq!(endings.replaced(0), None);
        endings.exited(0, 7, HOW.to_owned(), String::new());
        endings.not_started(0, "out of memory");
        let how = "out of memory".to_owned();
        assert_eq!(endings.replaced(0), Some(Predecessor { pid: 7, how }));
        assert_eq!(endings.replaced(0), None);
    }
}
