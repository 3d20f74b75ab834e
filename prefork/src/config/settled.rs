//! What holds: every option with a value, checked against the others.

use std::num::NonZeroUsize;
use std::time::Duration;

use prefork_options::{Address, Network, Window, Workers, list, network};

use super::Options;
use crate::error::Error;

/// The values that a process runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Each with its name.
    pub(crate) listen: Vec<Address>,
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
    pub(crate) runtime_threads: NonZeroUsize,
}

impl Config {
    const MIN_RECOVER_THRESHOLD: u32 = 8;
    const RECOVER_WINDOW: Window = Window::Sliding(Duration::from_mins(1));
    const RECOVER_INTERVAL: Duration = Duration::ZERO;
    const HEALTHY_AFTER: Duration = Duration::from_secs(1);
    const READY_TIMEOUT: Duration = Duration::from_secs(30);
    const SHUTDOWN_GRACE_PERIOD: Duration = Duration::from_secs(5);
    pub(crate) const RUNTIME_THREADS: NonZeroUsize = NonZeroUsize::MIN;

    /// Fills what was left open and checks what only shows in the whole.
    ///
    /// # Errors
    /// All mistakes of all layers.
    pub(crate) fn settle(mut options: Options) -> Result<Self, Error> {
        let listen = options.listen.take().unwrap_or_default();
        let named = list::name(listen).map_err(|clash| clash.error);
        let listen = options.check("listen", named).unwrap_or_default();
        if let Some(network) = options.network {
            for address in &listen {
                options.check("network", network::check(network, address));
            }
        }
        let options = options.without_mistakes()?;
        let workers = match options.workers.unwrap_or(Workers::Auto) {
            Workers::Auto => usable_cpus(),
            Workers::Count(count) => count,
        };
        let per_worker = u32::try_from(workers).unwrap_or(u32::MAX);
        Ok(Self {
            listen,
            workers,
            network: options.network,
            reuseport: options.reuseport.unwrap_or(false),
            recover_threshold: options
                .recover_threshold
                .unwrap_or(per_worker.max(Self::MIN_RECOVER_THRESHOLD)),
            recover_window: options.recover_window.unwrap_or(Self::RECOVER_WINDOW),
            recover_interval: options.recover_interval.unwrap_or(Self::RECOVER_INTERVAL),
            healthy_after: options.healthy_after.unwrap_or(Self::HEALTHY_AFTER),
            ready_timeout: options.ready_timeout.unwrap_or(Self::READY_TIMEOUT),
            shutdown_grace_period: options
                .shutdown_grace_period
                .unwrap_or(Self::SHUTDOWN_GRACE_PERIOD),
            runtime_threads: options.runtime_threads.unwrap_or(Self::RUNTIME_THREADS),
        })
    }
}

/// The standard library counts what affinity mask and cgroup quota leave.
fn usable_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

#[cfg(test)]
mod tests {
    use prefork_options::TABLE;

    use super::*;

    #[test]
    fn the_default_threshold_grows_with_the_workers() {
        for (workers, expected) in [(1, 8), (8, 8), (200, 200)] {
            let options = Options {
                workers: Some(Workers::Count(workers)),
                ..Options::default()
            };
            let config = Config::settle(options).expect("good options");
            assert_eq!(config.recover_threshold, expected);
        }
    }

    /// What the table tells people is what holds.
    #[test]
    fn the_defaults_are_those_of_the_table() {
        let config = Config::settle(Options::default()).expect("nothing was said");
        let duration = prefork_options::duration::format;
        let defaults = [
            ("reuseport", config.reuseport.to_string()),
            ("recover_window", config.recover_window.to_string()),
            ("recover_interval", duration(config.recover_interval)),
            ("healthy_after", duration(config.healthy_after)),
            ("ready_timeout", duration(config.ready_timeout)),
            (
                "shutdown_grace_period",
                duration(config.shutdown_grace_period),
            ),
            ("runtime_threads", config.runtime_threads.to_string()),
        ];
        for (name, holds) in defaults {
            let row = TABLE.iter().find(|row| row.name == name).expect(name);
            assert_eq!(
                row.default.trim_matches('`').trim_matches('"'),
                holds,
                "{name}"
            );
        }
    }

    #[test]
    fn every_address_of_another_family_is_told() {
        let options = Options {
            listen: Some(vec![
                ":0".parse().expect("good"),
                "[::1]:0".parse().expect("good"),
                "http=[::]:0".parse().expect("good"),
            ]),
            network: Some(Network::Tcp4),
            ..Options::default()
        };
        let Err(Error::Options(bad)) = Config::settle(options) else {
            panic!("two mistakes");
        };
        assert_eq!(bad.len(), 2, "{bad:?}");
        assert!(bad.iter().all(|option| option.place == "network"));
    }

    #[test]
    fn unnamed_listeners_are_numbered_and_names_are_unique() {
        let listen = |texts: &[&str]| Options {
            listen: Some(texts.iter().map(|text| text.parse().expect(text)).collect()),
            ..Options::default()
        };
        let config = Config::settle(listen(&[":0", "http=:0"])).expect("good options");
        let names: Vec<_> = config.listen.iter().map(|a| a.name.as_deref()).collect();
        assert_eq!(names, [Some("listener0"), Some("http")]);
        assert!(Config::settle(listen(&["a=:0", "a=:0"])).is_err());
    }
}
