//! The argument of `main` that reports whether this worker is ready.

use std::sync::Arc;

use super::context::Context;

/// Reports that this worker is ready; an argument of `main`.
///
/// If `main` takes it, the first accept does not report readiness. The worker is ready when it
/// calls [`notify_ready`](Self::notify_ready). The master replaces a worker that does not call it
/// within `ready_timeout` (30 s by default) after its start.
#[derive(Debug, Clone)]
pub struct Ready(pub(super) Arc<Context>);

impl Ready {
    /// Reports that this worker is ready, or ready again.
    ///
    /// See [`notify_ready`](crate::notify_ready()).
    pub fn notify_ready(&self) {
        self.0.notify_ready();
    }

    /// Takes back the readiness of this worker; see [`not_ready`](crate::not_ready()).
    pub fn not_ready(&self) {
        self.0.not_ready();
    }
}
