//! The environment of this process: removing variables, and whether it can be trusted.

/// Takes the variables out of the environment, so that no program that this process starts has them.
///
/// Returns whether it was done for all of them.
pub(crate) fn remove_all<'a>(names: impl IntoIterator<Item = &'a str>) -> bool {
    if super::process::is_single_threaded() {
        for name in names {
            // SAFETY: this is the only thread of the process, so nobody reads the environment now.
            unsafe { std::env::remove_var(name) };
        }
        return true;
    }
    let kept = names.into_iter().filter(|name| !blanked::blank(name));
    kept.count() == 0
}

/// Whether this process has rights that its starter lacks, so that its environment is that of a stranger: the program is
/// set-user-ID or set-group-ID, or has file capabilities (`AT_SECURE` in getauxval(3), as for `secure_getenv(3)`).
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) fn is_secure() -> bool {
    // SAFETY: getauxval(3) takes a number and reads what the kernel wrote at the start.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Elsewhere the ids alone show it.
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
pub(crate) fn is_secure() -> bool {
    use nix::unistd::{getegid, geteuid, getgid, getuid};

    getuid() != geteuid() || getgid() != getegid()
}

/// Variables that are made empty where they stand, for a process with several threads.
///
/// `unsetenv(3)` moves the entries behind the one that it removes, under a lock that a thread which reads `environ` need
/// not take. Here neither an entry nor the array moves: one byte is stored in the block of texts that the kernel made for
/// this process (execve(2)), which is never freed, moved or read-only. Of the empty text that is left programs take no
/// notice.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod blanked {
    use std::ffi::{CStr, c_char};
    use std::sync::atomic::{AtomicU8, Ordering};

    unsafe extern "C" {
        static environ: *const *const c_char;
    }

    /// Returns whether no entry of that name is left.
    pub(super) fn blank(name: &str) -> bool {
        let mut is_gone = true;
        // SAFETY: the C library has set it before any code of ours runs, and only changes it where a variable is added.
        let mut entry = unsafe { environ };
        while let Some(text) = next(&mut entry) {
            if is_named(text, name) {
                is_gone &= make_empty(text);
            }
        }
        is_gone
    }

    fn next(entry: &mut *const *const c_char) -> Option<*const c_char> {
        if entry.is_null() {
            return None;
        }
        // SAFETY: inside the array, which ends with null: the caller stops there. A thread that adds a variable meanwhile
        // is held off by the same rule as for `std::env::vars_os`, which reads the array in this way.
        let text = unsafe { **entry };
        if text.is_null() {
            return None;
        }
        // SAFETY: this entry is not the last one.
        *entry = unsafe { entry.add(1) };
        Some(text)
    }

    fn is_named(text: *const c_char, name: &str) -> bool {
        // SAFETY: the entries of the environment are texts that end with zero.
        let text = unsafe { CStr::from_ptr(text) };
        let rest = text.to_bytes().strip_prefix(name.as_bytes());
        rest.is_some_and(|rest| rest.first() == Some(&b'='))
    }

    /// Returns whether the text lies in the kernel's block; one that was set later is left alone.
    fn make_empty(text: *const c_char) -> bool {
        // SAFETY: getauxval(3) takes a number and reads what the kernel wrote at the start.
        let below = unsafe { libc::getauxval(libc::AT_RANDOM) };
        // SAFETY: as above.
        let above = unsafe { libc::getauxval(libc::AT_EXECFN) };
        // The kernel puts, from low to high addresses, random bytes, arguments, environment, the program's name.
        let is_inside =
            u64::try_from(text.addr()).is_ok_and(|address| (below + 1..above).contains(&address));
        if !is_inside {
            return false;
        }
        // SAFETY: the byte is one of this process's stack above its first frame, which is writable and lives as long as
        // the process. Other threads may read it meanwhile: a store of a byte is whole on every machine, so that they
        // find the variable or do not; the texts around it keep their places and ends.
        let first = unsafe { AtomicU8::from_ptr(text.cast_mut().cast()) };
        first.store(0, Ordering::Relaxed);
        true
    }
}

#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
mod blanked {
    /// Where the texts lie is not known here.
    pub(super) fn blank(_name: &str) -> bool {
        false
    }
}
