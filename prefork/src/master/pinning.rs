//! The CPU of each slot (`pin_cpus`), and the filters that select a worker by CPU.
//!
//! It knows the CPUs, and which failures the log has. It does not know processes: the start of a
//! child pins it, and a promoted standby pins itself.

use crate::config::Config;
use crate::listen::BoundListener;
use crate::sys::affinity::usable_cpus;
use crate::sys::reuseport_filter::CpuFilter;

/// Which CPU the worker of each slot runs on.
#[derive(Debug, Default)]
pub(super) struct Pinning {
    /// The CPUs that this process may use, in ascending order. Empty if workers are not pinned.
    cpus: Vec<usize>,
    failures: Vec<Failure>,
}

/// A failure that the log has, until a worker was pinned again.
#[derive(Debug, PartialEq, Eq)]
struct Failure {
    /// `None`: the cause concerns each CPU.
    cpu: Option<usize>,
    errno: i32,
}

impl Pinning {
    /// Reads the usable CPUs, and attaches the filters to sockets that all listen.
    ///
    /// Returns a warning for each part of the option that has no effect.
    pub(super) fn new(config: &Config, listeners: &[BoundListener]) -> (Self, Vec<String>) {
        if !config.pin_cpus {
            return (Self::default(), Vec::new());
        }
        let (cpus, mut warnings) = match usable_cpus() {
            Ok(cpus) => (cpus, Vec::new()),
            Err(error) => {
                let warning = format!(
                    "pin_cpus = true has no effect: the usable CPUs cannot be read \
                     (sched_getaffinity): {error}"
                );
                (Vec::new(), vec![warning])
            }
        };
        let pinning = Self {
            cpus,
            failures: Vec::new(),
        };
        warnings.extend(pinning.attach_filters(config.workers, listeners));
        (pinning, warnings)
    }

    /// Attaches one filter to the sockets of each address. Returns the reason why one has none.
    ///
    /// A filter is attached once and never replaced ([`CpuFilter::attach`]).
    fn attach_filters(&self, slots: usize, listeners: &[BoundListener]) -> Option<String> {
        let mut groups = listeners.iter().flat_map(BoundListener::groups).peekable();
        if self.cpus.is_empty() || groups.peek().is_none() {
            return None;
        }
        let by_hash = "the kernel distributes connections to workers by a hash";
        let filter = match self.filter(slots) {
            Ok(filter) => filter,
            Err(reason) => return Some(format!("pin_cpus = true: {reason}, so {by_hash}")),
        };
        let mut failed = Vec::new();
        let mut last = None;
        for (address, socket) in groups {
            if let Err(error) = filter.attach(socket) {
                failed.push(address.to_string());
                last = Some(error);
            }
        }
        let (failed, error) = (failed.join(", "), last?);
        Some(format!(
            "pin_cpus = true: no filter by CPU can be attached to {failed} (setsockopt, \
             SO_ATTACH_REUSEPORT_CBPF): {error}, so {by_hash}"
        ))
    }

    /// The filter for slots that have sockets of their own; or the reason why there is none.
    fn filter(&self, slots: usize) -> Result<CpuFilter, String> {
        let cpus = self.cpus.len();
        if slots > cpus {
            let plural = if cpus == 1 { "" } else { "s" };
            return Err(format!("{slots} workers share {cpus} CPU{plural}"));
        }
        CpuFilter::new(&self.cpus, slots).ok_or_else(|| {
            let most = CpuFilter::MAX_CPUS;
            format!("a filter for {cpus} CPUs is too long (at most {most} CPUs)")
        })
    }

    /// The CPU of a slot. `None` if workers are not pinned.
    pub(super) fn cpu_of(&self, slot: usize) -> Option<usize> {
        let index = slot.checked_rem(self.cpus.len())?;
        self.cpus.get(index).copied()
    }

    /// Records that a worker runs on this CPU.
    pub(super) fn record_success(&mut self, cpu: usize) {
        let is_other = |failure: &Failure| failure.cpu.is_some_and(|other| other != cpu);
        self.failures.retain(is_other);
    }

    /// Records that a worker does not run on this CPU. Returns whether the log needs a line.
    ///
    /// The replacements of a worker usually fail as it did.
    pub(super) fn record_failure(&mut self, cpu: usize, errno: i32) -> bool {
        let failure = Failure {
            // Only this CPU is missing. Any other error would be that of each CPU.
            cpu: (errno == libc::EINVAL).then_some(cpu),
            errno,
        };
        let is_new = !self.failures.contains(&failure);
        if is_new {
            self.failures.push(failure);
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pinning(cpus: &[usize]) -> Pinning {
        Pinning {
            cpus: cpus.to_vec(),
            failures: Vec::new(),
        }
    }

    #[test]
    fn slots_take_the_usable_cpus_in_order_and_begin_again() {
        let pinning = pinning(&[0, 4, 7]);
        let cpus = (0..5).map(|slot| pinning.cpu_of(slot));
        assert!(cpus.eq([0, 4, 7, 0, 4].map(Some)));
        assert_eq!(Pinning::default().cpu_of(0), None);
    }

    #[test]
    fn no_filter_is_made_for_more_slots_than_cpus_or_for_too_many_cpus() {
        assert!(pinning(&[0, 4]).filter(2).is_ok());
        assert!(pinning(&[0, 4, 7]).filter(2).is_ok());
        let reason = pinning(&[3]).filter(2).err();
        assert_eq!(reason.as_deref(), Some("2 workers share 1 CPU"));
        let all: Vec<usize> = (0..2048).collect();
        let reason = pinning(&all).filter(2).err();
        let expected = "a filter for 2048 CPUs is too long (at most 2047 CPUs)";
        assert_eq!(reason.as_deref(), Some(expected));
    }

    #[test]
    fn the_log_has_one_line_per_cpu_that_is_gone_until_it_is_back() {
        let mut pinning = pinning(&[0, 1, 2]);
        assert!(pinning.record_failure(1, libc::EINVAL));
        assert!(!pinning.record_failure(1, libc::EINVAL));
        pinning.record_success(0);
        assert!(!pinning.record_failure(1, libc::EINVAL));
        assert!(pinning.record_failure(2, libc::EINVAL));
        pinning.record_success(1);
        assert!(pinning.record_failure(1, libc::EINVAL));
    }

    #[test]
    fn the_log_has_one_line_for_all_workers_about_a_call_that_is_rejected() {
        let mut pinning = pinning(&[0, 1]);
        assert!(pinning.record_failure(0, libc::EPERM));
        assert!(!pinning.record_failure(1, libc::EPERM));
        pinning.record_success(0);
        assert!(pinning.record_failure(1, libc::EPERM));
    }
}
