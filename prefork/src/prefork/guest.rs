//! A worker as a guest in a test's own process, from the options of its program. For the testkit.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::time::SystemTime;

use prefork_options::Prefix;

use super::Prefork;
use crate::config::{Config, Environment, settle, usable_cpus};
use crate::error::Error;
use crate::listen::{Binding, Inherited, bind_all};
use crate::tls::Handed;
use crate::worker::Guest;

/// What options listen on that name no address.
const UNSAID: &str = "tls://:0";

/// What a master with these options would start: with their listeners, but on free ports of 127.0.0.1, their certificates
/// and their time to drain. The environment has no say.
///
/// # Errors
/// Those of the options, and of what they name; no port or no descriptor is left.
pub fn guest(mut prefork: Prefork) -> Result<Guest, Error> {
    if prefork.options.listen.value().is_none_or(Vec::is_empty) {
        prefork.listen(UNSAID);
    }
    // For addresses that leave it to the platform.
    let any_port = [(OsString::from("PORT"), OsString::from("0"))];
    let platform = Environment::read(Prefix::default(), any_port);
    let settled = settle(prefork.options, &platform, usable_cpus);
    settled.check()?;
    let (tls, _news) = Handed::by_itself(&settled.config, SystemTime::now())?;
    let config = on_loopback(settled.config);
    let bound = bind_all(&config.listen, Binding::of(&config))?;
    let listeners = bound.into_iter().map(Inherited::from).collect();
    Guest::of(listeners, config.shutdown_grace_period, tls)
}

/// In the way of nobody, and reached by nobody else.
fn on_loopback(mut config: Config) -> Config {
    for endpoint in &mut config.listen {
        endpoint.host = Ipv4Addr::LOCALHOST.to_string();
        endpoint.port = 0;
    }
    // These were said of the addresses that it had.
    config.network = None;
    config.reuseport = false;
    config
}
