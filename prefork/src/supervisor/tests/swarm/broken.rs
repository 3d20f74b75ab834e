//! The result of a check.

/// A promise that does not hold.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    /// The promise.
    pub(super) promise: &'static str,
    /// What happened instead.
    pub(super) detail: String,
}

/// Returns an error that names the promise, unless it holds.
pub(super) fn check(
    holds: bool,
    promise: &'static str,
    detail: impl FnOnce() -> String,
) -> Result<(), Broken> {
    if holds {
        return Ok(());
    }
    let detail = detail();
    Err(Broken { promise, detail })
}
