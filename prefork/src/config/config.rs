//! The values that a process runs with, and their defaults where these are single values.
//!
//! Plain data; how it comes about is settled next door.

use std::num::NonZeroUsize;
use std::time::Duration;

use prefork_options::{Network, Pem, Prefix, Protocols, Window};

use super::Endpoint;

/// The values that a process runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) listen: Vec<Endpoint>,
    /// 0 is single mode.
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
    /// No options: who said some of them.
    pub(crate) places: Places,
}

/// Whom mistakes are told by that show only later, on this machine and in files: the variable that said the option, else
/// the option itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
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
