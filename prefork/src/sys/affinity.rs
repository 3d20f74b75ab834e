//! The CPUs that threads may run on: the affinity masks of `sched_setaffinity(2)`.
//!
//! A mask is as long as needed: the `cpu_set_t` of the C library ends at CPU 1023, and the kernel
//! rejects a read with a mask that is too short for its machine.

#[cfg(all(target_os = "linux", not(prefork_portable)))]
use std::collections::HashSet;
#[cfg(all(target_os = "linux", not(prefork_portable)))]
use std::ffi::c_ulong;
use std::io;

#[cfg(all(target_os = "linux", not(prefork_portable)))]
use nix::errno::Errno;

/// The CPUs in one word of a mask.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
const WORD: usize = c_ulong::BITS as usize;

/// A mask with one CPU.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
#[derive(Debug)]
pub(crate) struct CpuMask(Vec<c_ulong>);

#[cfg(all(target_os = "linux", not(prefork_portable)))]
impl CpuMask {
    pub(crate) fn of(cpu: usize) -> Self {
        let mut words = vec![0; cpu / WORD + 1];
        words[cpu / WORD] = 1 << (cpu % WORD);
        Self(words)
    }

    /// Restricts a thread to the CPU. 0 is the calling thread.
    ///
    /// Allocates nothing: a child calls it between clone and exec.
    ///
    /// # Errors
    /// `EINVAL`: the CPU is offline or outside of the cpuset of the process (`cpuset(7)`).
    pub(crate) fn apply_to(&self, thread: libc::pid_t) -> nix::Result<()> {
        let size = size_of_val(self.0.as_slice());
        // SAFETY: the kernel reads `size` bytes, which are the words of this mask.
        let result =
            unsafe { libc::syscall(libc::SYS_sched_setaffinity, thread, size, self.0.as_ptr()) };
        Errno::result(result).map(drop)
    }
}

/// Returns the CPUs that the calling thread may use, in ascending order.
///
/// # Errors
/// A seccomp filter rejects the call.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) fn usable_cpus() -> io::Result<Vec<usize>> {
    /// More than a kernel can have.
    const MOST_CPUS: usize = 1 << 20;
    let mut words: Vec<c_ulong> = vec![0; 1024 / WORD];
    loop {
        match read_mask(&mut words) {
            Ok(()) => break,
            // The mask of this kernel is longer.
            Err(Errno::EINVAL) if words.len() * WORD < MOST_CPUS => {
                words.resize(words.len() * 2, 0);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    let is_set = |cpu: &usize| words[cpu / WORD] >> (cpu % WORD) & 1 == 1;
    Ok((0..words.len() * WORD).filter(is_set).collect())
}

#[cfg(all(target_os = "linux", not(prefork_portable)))]
fn read_mask(words: &mut [c_ulong]) -> nix::Result<()> {
    let size = size_of_val(words);
    // SAFETY: the kernel writes at most `size` bytes, which are the words of this slice. Each value
    // of a word is valid.
    let result = unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, size, words.as_mut_ptr()) };
    Errno::result(result).map(drop)
}

/// Restricts all threads of this process to one CPU.
///
/// A new thread inherits the mask of the thread that starts it. Threads that start during a scan
/// are found by the next one.
///
/// # Errors
/// `EINVAL`: the CPU is offline or outside of the cpuset. Or `/proc` is not mounted.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) fn pin_all_threads(cpu: usize) -> io::Result<()> {
    /// After the first scans, every thread that starts another one is pinned.
    const SCANS: usize = 8;
    let mask = CpuMask::of(cpu);
    let mut pinned = HashSet::new();
    for _ in 0..SCANS {
        let before = pinned.len();
        for entry in std::fs::read_dir("/proc/self/task")? {
            let Some(thread) = entry?.file_name().to_str().and_then(|it| it.parse().ok()) else {
                continue;
            };
            if !pinned.insert(thread) {
                continue;
            }
            match mask.apply_to(thread) {
                // The thread has ended.
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        if pinned.len() == before {
            break;
        }
    }
    Ok(())
}

/// Only a master on Linux asks for it.
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
pub(crate) fn pin_all_threads(_cpu: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux", not(prefork_portable)))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_runs_on_the_cpu_that_it_is_restricted_to() {
        let usable = usable_cpus().expect("a mask");
        assert!(usable.is_sorted());
        for cpu in usable {
            // The mask of the thread that runs the tests does not change.
            let pinned = std::thread::spawn(move || {
                CpuMask::of(cpu).apply_to(0).expect("a usable CPU");
                usable_cpus().expect("a mask")
            });
            assert_eq!(pinned.join().expect("no panic"), [cpu]);
        }
    }

    #[test]
    fn a_cpu_that_does_not_exist_is_an_error() {
        assert_eq!(CpuMask::of(1 << 19).apply_to(0), Err(Errno::EINVAL));
    }
}
