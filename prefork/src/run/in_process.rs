//! A worker inside a test's own process, with the options of its program. Used by the testkit.
//!
//! Knows options, listeners and certificates; the worker itself is in `worker`.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use prefork_options::{Endpoint, ListenerOptions, Prefix, UnixName};

use crate::builder::Prefork;
use crate::config::{Config, Environment, resolve, usable_cpus};
use crate::error::Error;
use crate::listen::{BindOptions, InheritedListener, bind_all};
use crate::tls::local_tls;
use crate::worker::{DrainTimes, InProcessWorker};

/// The address if the options name none.
const DEFAULT_LISTEN: &str = "tls://:0";

/// Starts a worker like a master with these options, but in this process.
///
/// It has the listeners of the options, on free ports of 127.0.0.1, and their certificates and
/// grace period. The environment is not read.
///
/// # Errors
/// An option is invalid, or a file that it names cannot be used. No port or no descriptor is free.
pub fn in_process_worker(mut prefork: Prefork) -> Result<InProcessWorker, Error> {
    if prefork.options.listen.value().is_none_or(Vec::is_empty) {
        prefork = prefork.listen(DEFAULT_LISTEN);
    }
    // For addresses without a port.
    let any_port = [(OsString::from("PORT"), OsString::from("0"))];
    let platform = Environment::read(Prefix::default(), any_port);
    let resolved = resolve(prefork.options, &platform, usable_cpus);
    resolved.check()?;
    let (tls, _events) = local_tls(&resolved.config, SystemTime::now())?;
    let config = on_loopback(resolved.config);
    let bound = bind_all(&config.listen, BindOptions::of(&config, None))?;
    let listeners = bound.into_iter().map(InheritedListener::from).collect();
    let times = DrainTimes {
        delay: std::time::Duration::ZERO,
        grace: config.shutdown_grace_period,
        keepalive_grace: config.keepalive_grace,
    };
    InProcessWorker::of(listeners, times, tls)
}

/// Moves all listeners to free ports of 127.0.0.1 and to unique unix sockets, so that tests do not
/// collide.
fn on_loopback(mut config: Config) -> Config {
    for spec in &mut config.listen {
        spec.options = ListenerOptions::default();
        spec.endpoint = match spec.endpoint {
            Endpoint::Unix(_) => Endpoint::Unix(UnixName::Abstract(unique_name())),
            Endpoint::HostPort { .. } | Endpoint::Fd(_) => Endpoint::HostPort {
                host: Ipv4Addr::LOCALHOST.to_string(),
                port: Some(0),
                family: None,
            },
        };
    }
    // These options belong to the previous addresses.
    config.network = None;
    for spec in &mut config.listen {
        spec.ring_width = 0;
    }
    config
}

fn unique_name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("prefork-test-{}-{count}", std::process::id())
}
