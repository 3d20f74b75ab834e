//! Removing variables from the environment of this process.

/// Removes the variables, if that is sound at this moment: another thread that reads the C
/// environment at the same time would read freed memory. Returns whether it was done.
pub(crate) fn remove_all<'a>(names: impl IntoIterator<Item = &'a str>) -> bool {
    if !super::process::is_single_threaded() {
        return false;
    }
    for name in names {
        // SAFETY: this is the only thread of the process, so nobody reads the environment now.
        unsafe { std::env::remove_var(name) };
    }
    true
}
