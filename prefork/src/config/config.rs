//! The effective configuration of a process, and the defaults that are constants.
//!
//! Plain data. It does not know sources or precedence.

use std::num::NonZeroUsize;
use std::time::Duration;

use prefork_options::{Network, Pem, Prefix, Protocols, Window};

use super::ListenSpec;

/// The effective value of each option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) listen: Vec<ListenSpec>,
    /// 0 means single-process mode.
    pub(crate) workers: usize,
    pub(crate) network: Option<Network>,
    pub(crate) reuseport: bool,
    pub(crate) recover_threshold: u32,
    pub(crate) recover_window: Window,
    pub(crate) recover_interval: Duration,
    pub(crate) healthy_after: Duration,
    pub(crate) ready_timeout: Duration,
    pub(crate) shutdown_grace_period: Duration,
    pub(crate) env_prefix: Prefix,
    pub(crate) runtime_threads: NonZeroUsize,
    pub(crate) tls_cert: Option<Pem>,
    pub(crate) tls_key: Option<Pem>,
    pub(crate) tls_alpn: Protocols,
    pub(crate) tls_client_ca: Option<Pem>,
    /// Not an option: the labels for errors found later.
    pub(crate) labels: ErrorLabels,
}

/// Label for errors found after resolution: the variable that set the option, or the option's name.
///
/// Such errors depend on the machine or on files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErrorLabels {
    pub(crate) listen: String,
    pub(crate) workers: String,
    pub(crate) tls_cert: String,
    pub(crate) tls_key: String,
    pub(crate) tls_client_ca: String,
}

impl Config {
    pub(super) const MIN_RECOVER_THRESHOLD: u32 = 8;
    pub(super) const RECOVER_WINDOW: Window = Window::Sliding(Duration::from_mins(1));
    pub(super) const RECOVER_INTERVAL: Duration = Duration::ZERO;
    pub(super) const HEALTHY_AFTER: Duration = Duration::from_secs(1);
    pub(super) const READY_TIMEOUT: Duration = Duration::from_secs(30);
    pub(super) const SHUTDOWN_GRACE_PERIOD: Duration = Duration::from_secs(5);
    pub(crate) const RUNTIME_THREADS: NonZeroUsize = NonZeroUsize::MIN;
}
