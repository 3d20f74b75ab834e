//! Removes variables from the environment, and checks whether it is trusted.

/// Removes the variables, so that programs that this process starts do not get them.
///
/// Returns whether all of them were removed.
pub(crate) fn remove_all<'a>(names: impl IntoIterator<Item = &'a str>) -> bool {
    if super::process::is_single_threaded() {
        for name in names {
            // SAFETY: this is the only thread of the process, so no other thread reads the
            // environment.
            unsafe { std::env::remove_var(name) };
        }
        return true;
    }
    let kept = names.into_iter().filter(|name| !blanked::blank(name));
    kept.count() == 0
}

/// Whether this process has rights that the process that started it lacks.
///
/// Its environment is untrusted then. The program is set-user-ID or set-group-ID, or has file
/// capabilities (`AT_SECURE` in getauxval(3), as for `secure_getenv(3)`).
#[cfg(all(target_os = "linux", not(prefork_portable)))]
pub(crate) fn is_secure() -> bool {
    // SAFETY: getauxval(3) takes a number, and reads memory that the kernel wrote at the start.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// On other systems, only the ids show it.
#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
pub(crate) fn is_secure() -> bool {
    use nix::unistd::{getegid, geteuid, getgid, getuid};

    getuid() != geteuid() || getgid() != getegid()
}

/// Empties variables in place, for a process with several threads.
///
/// `unsetenv(3)` moves the entries after the removed one. It takes a lock for that, but a thread
/// that reads `environ` does not have to take the lock. Here neither an entry nor the array moves:
/// one byte is stored in the memory that the kernel set up for the environment of this process
/// (execve(2)). This memory is never freed, moved or read-only. Programs ignore the empty string
/// that remains.
#[cfg(all(target_os = "linux", not(prefork_portable)))]
mod blanked {
    use std::ffi::{CStr, c_char};
    use std::sync::atomic::{AtomicU8, Ordering};

    unsafe extern "C" {
        static environ: *const *const c_char;
    }

    /// Returns whether no entry of that name is left.
    pub(super) fn blank(name: &str) -> bool {
        let mut is_removed = true;
        // SAFETY: the C library sets it before Rust code runs, and changes it only if a variable is
        // added.
        let mut entry = unsafe { environ };
        while let Some(text) = next(&mut entry) {
            if is_named(text, name) {
                is_removed &= make_empty(text);
            }
        }
        is_removed
    }

    fn next(entry: &mut *const *const c_char) -> Option<*const c_char> {
        if entry.is_null() {
            return None;
        }
        // SAFETY: inside the array, which ends with null: the caller stops there. No thread may add
        // a variable at the same time: this is also the contract of `std::env::vars_os`, which
        // reads the array in the same way.
        let text = unsafe { **entry };
        if text.is_null() {
            return None;
        }
        // SAFETY: this entry is not the last one.
        *entry = unsafe { entry.add(1) };
        Some(text)
    }

    fn is_named(text: *const c_char, name: &str) -> bool {
        // SAFETY: the entries of the environment are strings that end with zero.
        let text = unsafe { CStr::from_ptr(text) };
        let rest = text.to_bytes().strip_prefix(name.as_bytes());
        rest.is_some_and(|rest| rest.first() == Some(&b'='))
    }

    /// Empties the string if it is in the memory that the kernel set up.
    ///
    /// Returns whether it is.
    ///
    /// A variable that was set later is in other memory, and does not change.
    fn make_empty(text: *const c_char) -> bool {
        // SAFETY: getauxval(3) takes a number, and reads memory that the kernel wrote at the start.
        let below = unsafe { libc::getauxval(libc::AT_RANDOM) };
        // SAFETY: as above.
        let above = unsafe { libc::getauxval(libc::AT_EXECFN) };
        // The kernel writes, from low to high addresses: random bytes, arguments, environment, name
        // of the program.
        let is_inside =
            u64::try_from(text.addr()).is_ok_and(|address| (below + 1..above).contains(&address));
        if !is_inside {
            return false;
        }
        // SAFETY: the byte is in the stack of this process above its first frame, which is writable
        // and lives as long as the process. Other threads may read it at the same time. A store of
        // a byte is atomic on every machine, so a reader finds either the variable or an empty
        // string, and the other strings do not change.
        let first = unsafe { AtomicU8::from_ptr(text.cast_mut().cast()) };
        first.store(0, Ordering::Relaxed);
        true
    }
}

#[cfg(not(all(target_os = "linux", not(prefork_portable))))]
mod blanked {
    /// Never removes a variable: the memory of the environment is not known on this system.
    pub(super) fn blank(_name: &str) -> bool {
        false
    }
}
