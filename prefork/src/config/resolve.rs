//! Resolves all layers into the effective configuration and cross-checks it.
//!
//! It reads neither the environment nor files, and resolves no host names.

use std::num::NonZeroUsize;

use prefork_options::{Address, ParseError, Protocols, Reuseport, Workers};

use super::check_tls::{self, absolute};
use super::explain::{OptionReport, rows};
use super::layers::Origin;
use super::listen::{complete, label_of};
use super::platform_env::{apply_port, apply_web_concurrency, overridden_port};
use super::{Config, Environment, OptionLayers};
use crate::error::Error;

/// The smallest default of `recover_threshold`.
const MIN_RECOVER_THRESHOLD: u32 = 8;

/// The effective configuration, with the layers that it was resolved from.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    /// The configuration; an option that is invalid has its default.
    pub(crate) config: Config,
    /// The layers, with the errors of all of them.
    options: OptionLayers,
    /// Values that have no effect, a line each.
    pub(crate) ignored: Vec<String>,
    /// Warnings about variables of the platform that an option overrides.
    pub(crate) overridden: Vec<String>,
    uses_platform_port: bool,
}

impl Resolved {
    /// # Errors
    /// All errors of all layers.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let errors = &self.options.errors;
        if errors.is_empty() {
            return Ok(());
        }
        Err(Error::Options(errors.clone()))
    }

    /// All options with value and origin, and the ignored values, for `PREFORK_EXPLAIN`.
    pub(crate) fn report(&self, environment: &Environment) -> OptionReport {
        let mut ignored = self.ignored.clone();
        ignored.extend(self.options.replaced.iter().cloned());
        let mut rows = rows(&self.config, &self.options, &mut ignored);
        let listen = rows.iter_mut().find(|row| row.name == "listen");
        if let Some(listen) = listen.filter(|_| self.uses_platform_port) {
            listen.origin.push_str(", port from PORT");
        }
        ignored.extend(environment.ignored());
        OptionReport { rows, ignored }
    }
}

/// Resolves the layers and checks the result.
///
/// Missing values come from the platform's variables and the defaults.
///
/// `cpus` counts the CPUs. It is called only if the number of workers depends on them, because the
/// standard library reads files for it.
pub(crate) fn resolve(
    mut options: OptionLayers,
    environment: &Environment,
    cpus: impl FnOnce() -> usize,
) -> Resolved {
    let mut idle = Vec::new();
    let mut overruled = Vec::new();
    overruled.extend(apply_web_concurrency(&mut options, environment, &mut idle));
    overruled.extend(overridden_port(&options, environment));
    let port = apply_port(&mut options, environment, &mut idle);
    idle.extend(options.drop_unused_alpn());
    let addresses = options.listen.or_else(Vec::new);
    check_network(&addresses, &mut options);
    let listen = complete(&addresses, port, &mut options);
    let workers = match options.workers.or_else(Workers::default) {
        Workers::Count(count) => count,
        relative @ (Workers::Auto | Workers::AutoLess(_) | Workers::Percent(_)) => {
            relative.count(cpus())
        }
    };
    let mut config = Config {
        listen,
        workers,
        ..Config::new(&options)
    };
    let per_worker = u32::try_from(workers).unwrap_or(u32::MAX);
    config.recover_threshold = options
        .recover_threshold
        .or_else(|| per_worker.max(MIN_RECOVER_THRESHOLD));
    config.rollout_canary = options.rollout_canary.or_else(|| config.rollout_soak);
    if config.rollout_timeout.is_zero() {
        let label = options.rollout_timeout.label("rollout_timeout");
        let error = ParseError::new("a rollout cannot take 0s, expected a longer time");
        options.check(&label, Err::<(), _>(error));
    }
    if let Reuseport::Width(width) = config.reuseport {
        for spec in &mut config.listen {
            spec.ring_width = width.get();
        }
    }
    config.tls_alpn = options.tls_alpn.or_else(Protocols::default);
    for file in [
        &mut config.tls_cert,
        &mut config.tls_key,
        &mut config.tls_client_ca,
    ] {
        let directory = options.directory.as_deref();
        *file = file.as_ref().map(|pem| absolute(pem, directory));
    }
    check_tls::check(&config, &mut options);
    Resolved {
        config,
        options,
        ignored: idle,
        overridden: overruled,
        uses_platform_port: port.is_some(),
    }
}

/// Records an error for each address that contradicts `network`.
///
/// If one of the two is set by a variable, the error has that label, because the program was valid
/// without it.
fn check_network(addresses: &[Address], options: &mut OptionLayers) {
    let Some(&network) = options.network.value() else {
        return;
    };
    if !options.network.is_valid() || !options.listen.is_valid() {
        return;
    }
    for address in addresses {
        let label = match options.network.origin() {
            Origin::Variable(name) => name,
            Origin::Default | Origin::Program(..) => label_of(address, &options.listen),
        };
        options.check(&label, address.check_network(network));
    }
}

/// The number of CPUs that this process may use, by affinity mask and cgroup quota.
pub(crate) fn usable_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

#[cfg(test)]
mod tests {
    use std::panic::Location;
    use std::time::Duration;

    use prefork_options::{Network, Prefix, Row, TABLE, list};

    use super::*;
    use crate::config::ProgramSource;
    use crate::tls::HAS_TLS;

    const CPUS: usize = 6;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        Environment::read(Prefix::default(), pairs)
    }

    fn resolved(options: &OptionLayers, pairs: &[(&str, &str)]) -> Resolved {
        let environment = environment(pairs);
        let mut options = options.clone();
        options.apply_env(&environment);
        resolve(options, &environment, || CPUS)
    }

    fn report(options: &OptionLayers, pairs: &[(&str, &str)]) -> OptionReport {
        resolved(options, pairs).report(&environment(pairs))
    }

    fn with_workers(text: &str) -> OptionLayers {
        program(|it| it.workers(text))
    }

    fn with_listen(text: &str) -> OptionLayers {
        let mut options = OptionLayers::default();
        let list = list::read(text).expect("valid addresses");
        options
            .listen
            .push(list, Origin::Variable("test".to_owned()));
        options
    }

    fn errors(resolved: &Resolved) -> Vec<String> {
        resolved
            .options
            .errors
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn the_environment_overrides_the_program() {
        let (options, pairs) = (with_workers("2"), [("PREFORK_WORKERS", "50%")]);
        assert_eq!(resolved(&options, &pairs).config.workers, 3);
        let report = report(&options, &pairs);
        let workers = report.rows.iter().find(|value| value.name == "workers");
        let workers = workers.expect("every option is there");
        assert_eq!(
            (workers.text.as_str(), workers.origin.as_str()),
            ("3 (50%)", "PREFORK_WORKERS")
        );
        let [ignored] = report.ignored.as_slice() else {
            panic!("not one line: {:?}", report.ignored);
        };
        assert!(
            ignored.starts_with(&format!("workers = 2 (builder at {}:", file!()))
                && ignored.ends_with("): overridden by PREFORK_WORKERS"),
            "{ignored}"
        );
    }

    #[test]
    fn the_first_soak_of_a_rollout_is_like_the_others_unless_set() {
        let soak = ("PREFORK_ROLLOUT_SOAK", "5s");
        let config = resolved(&OptionLayers::default(), &[soak]).config;
        assert_eq!(config.rollout_canary, Duration::from_secs(5));
        let canary = ("PREFORK_ROLLOUT_CANARY", "0s");
        let config = resolved(&OptionLayers::default(), &[soak, canary]).config;
        assert_eq!(config.rollout_canary, Duration::ZERO);
    }

    #[test]
    fn a_rollout_cannot_take_no_time() {
        let timeout = ("PREFORK_ROLLOUT_TIMEOUT", "0s");
        let resolved = resolved(&OptionLayers::default(), &[timeout]);
        let text = "PREFORK_ROLLOUT_TIMEOUT: a rollout cannot take 0s, expected a longer time";
        assert_eq!(errors(&resolved), [text]);
    }

    #[test]
    fn web_concurrency_counts_if_workers_are_not_set() {
        for (set, workers) in [
            (Workers::Auto, 4),
            (Workers::Count(2), 2),
            (Workers::AutoLess(1), 5),
            (Workers::Count(0), 0),
        ] {
            let mut options = OptionLayers::default();
            options.workers.push(
                set,
                Origin::Program(ProgramSource::Attribute, Location::caller()),
            );
            let resolved = resolved(&options, &[("WEB_CONCURRENCY", "4")]);
            assert_eq!(resolved.config.workers, workers, "{set}");
        }
        assert_eq!(
            resolved(&OptionLayers::default(), &[("WEB_CONCURRENCY", "4")])
                .config
                .workers,
            4
        );
        let by_operator = [("WEB_CONCURRENCY", "4"), ("PREFORK_WORKERS", "3")];
        let resolved = resolved(&OptionLayers::default(), &by_operator);
        assert_eq!(resolved.config.workers, 3);
        assert_eq!(resolved.ignored, ["WEB_CONCURRENCY='4': workers is set"]);
    }

    #[test]
    fn auto_set_by_the_operator_or_by_configure_overrides_the_platform() {
        let platform = ("WEB_CONCURRENCY", "4");
        let operator = resolved(
            &OptionLayers::default(),
            &[platform, ("PREFORK_WORKERS", "auto")],
        );
        assert_eq!(operator.config.workers, CPUS);
        assert_eq!(operator.ignored, ["WEB_CONCURRENCY='4': workers is set"]);

        let mut options = OptionLayers::default();
        let configure = Origin::Program(ProgramSource::Configure, Location::caller());
        options.workers.push(Workers::Auto, configure);
        assert_eq!(resolved(&options, &[platform]).config.workers, CPUS);
    }

    #[test]
    fn an_overridden_variable_of_the_platform_is_reported_with_a_remedy() {
        let with_both = || program(|it| it.listen(["http=0.0.0.0:8080", ":9090"]).workers(2));
        let platform = [("PORT", "5000"), ("WEB_CONCURRENCY", "4")];
        let overridden = resolved(&with_both(), &platform).overridden;
        let [workers, port] = overridden.as_slice() else {
            panic!("not two lines: {overridden:?}");
        };
        let builder = format!("builder at {}:", file!());
        assert!(
            workers.starts_with(&format!(
                "ignoring WEB_CONCURRENCY='4': workers = 2 ({builder}"
            )) && workers
                .ends_with(") takes precedence; to use WEB_CONCURRENCY, write workers = \"auto\""),
            "{workers}"
        );
        assert!(
            port.starts_with(&format!("ignoring PORT='5000': listen ({builder}"))
                && port.ends_with("; to use PORT, omit the port, as in 'http=0.0.0.0'"),
            "{port}"
        );

        let by_operator = [("PREFORK_WORKERS", "3"), ("PREFORK_LISTEN", "127.0.0.1:80")];
        let overridden = resolved(&with_both(), &[platform, by_operator].concat()).overridden;
        assert_eq!(
            overridden,
            [
                "ignoring WEB_CONCURRENCY='4': workers = 3 (PREFORK_WORKERS) takes precedence; \
                 to use WEB_CONCURRENCY, remove PREFORK_WORKERS",
                "ignoring PORT='5000': listen (PREFORK_LISTEN) sets every port; \
                 to use PORT, omit the port, as in '127.0.0.1'",
            ]
        );
    }

    #[test]
    fn a_variable_of_the_platform_that_agrees_or_is_used_is_not_reported() {
        let options = program(|it| it.listen(["http=0.0.0.0:8080", ":9090"]).workers(2));
        for pairs in [
            [("PORT", "8080"), ("WEB_CONCURRENCY", "2")],
            [("PORT", "9090"), ("WEB_CONCURRENCY", "2")],
            [("PORT", ""), ("WEB_CONCURRENCY", "")],
        ] {
            assert_eq!(resolved(&options, &pairs).overridden, [""; 0], "{pairs:?}");
        }
        let platform = [("PORT", "5000"), ("WEB_CONCURRENCY", "4")];
        assert_eq!(
            resolved(&with_listen("0.0.0.0"), &platform).overridden,
            [""; 0]
        );
        // A program without listeners may read PORT itself.
        assert_eq!(
            resolved(&OptionLayers::default(), &platform).overridden,
            [""; 0]
        );
    }

    #[test]
    fn an_ignored_value_is_shortened() {
        let long = "9".repeat(100_000);
        let resolved = resolved(
            &with_workers("2"),
            &[("WEB_CONCURRENCY", &long), ("PORT", &long)],
        );
        assert!(resolved.ignored.iter().all(|line| line.len() < 200));
        assert_eq!(resolved.ignored.len(), 2);
    }

    #[test]
    fn port_counts_if_an_address_has_no_port() {
        let platform = [("PORT", "5000")];
        let open = resolved(&with_listen("http=0.0.0.0,:80"), &platform);
        let ports = [0, 1].map(|index| open.config.listen[index].endpoint.port());
        assert_eq!(ports, [Some(5000), Some(80)]);
        assert!(
            resolved(&with_listen(":80"), &platform).ignored[0]
                .contains("every listener has a port")
        );
        assert!(
            resolved(&OptionLayers::default(), &platform).ignored[0]
                .contains("no listener is configured")
        );
    }

    #[test]
    fn invalid_variables_of_the_platform_are_errors_only_if_they_count() {
        let platform = [("PORT", "tcp://10.0.0.1:80"), ("WEB_CONCURRENCY", "many")];
        let mut options = with_listen("a=0.0.0.0,b=127.0.0.1");
        let bad = errors(&resolved(&options, &platform));
        assert_eq!(bad.len(), 2, "{bad:?}");
        assert!(bad[0].starts_with("WEB_CONCURRENCY: 'many' is not a number of workers"));
        assert!(
            bad[1].starts_with("PORT: 'tcp://10.0.0.1:80' is not a port"),
            "{bad:?}"
        );
        options.set_text("workers", "test", Ok("1"));
        options.set_text("listen", "test", Ok(":80"));
        assert_eq!(errors(&resolved(&options, &platform)), [""; 0]);
    }

    #[test]
    fn the_cpus_are_counted_only_if_the_number_of_workers_depends_on_them() {
        let options = with_workers("2");
        let resolved = resolve(options, &Environment::default(), || panic!("not needed"));
        assert_eq!(resolved.config.workers, 2);
    }

    #[test]
    fn threads_without_a_runtime_have_no_effect_and_are_reported() {
        let mut options = OptionLayers::default();
        assert_eq!(options.drop_unused_threads(), None);
        options.set_text("runtime_threads", "PREFORK_RUNTIME_THREADS", Ok("8"));
        let line = options.drop_unused_threads().expect("the option is set");
        assert!(
            line.starts_with("ignoring runtime_threads = 8 (PREFORK_RUNTIME_THREADS): "),
            "{line}"
        );
        assert_eq!(
            resolved(&options, &[]).config.runtime_threads,
            NonZeroUsize::MIN
        );
    }

    #[test]
    fn threads_set_by_the_program_need_the_feature() {
        let mut options = program(|it| it.runtime_threads(8));
        let line = options.drop_unused_threads();
        let rejected = errors(&resolved(&options, &[]));
        if cfg!(feature = "tokio") {
            assert!(line.is_some() && rejected.is_empty(), "{rejected:?}");
        } else {
            assert!(rejected[0].contains("feature `tokio`"), "{rejected:?}");
        }
    }

    #[test]
    fn the_default_threshold_grows_with_the_workers() {
        for (workers, expected) in [("1", 8), ("8", 8), ("200", 200)] {
            let config = resolved(&with_workers(workers), &[]).config;
            assert_eq!(config.recover_threshold, expected);
        }
    }

    #[test]
    fn variables_that_are_not_options_are_listed_by_name() {
        let pairs = [("PREFORK_WEB_PORT", "9000"), ("PREFORK_COLOR", "red")];
        assert_eq!(
            report(&OptionLayers::default(), &pairs).ignored,
            [
                "PREFORK_COLOR: unknown variable",
                "PREFORK_WEB_PORT: probably set by Kubernetes or Docker"
            ]
        );
    }

    #[test]
    fn the_defaults_are_those_that_the_table_documents() {
        for value in report(&OptionLayers::default(), &[]).rows {
            let row = Row::find(value.name).expect("it is in the table");
            assert_eq!(value.origin, "default");
            if let Some(default) = row.default.strip_prefix('`') {
                let default = default.trim_end_matches('`').trim_matches('"');
                let default = match value.name {
                    "workers" => default.replace("auto", &CPUS.to_string()),
                    _ => default.to_owned(),
                };
                assert_eq!(value.text, default, "{}", value.name);
            }
        }
    }

    #[test]
    fn every_address_of_another_family_is_reported() {
        let mut options = with_listen(":0,[::1]:0,http=[::]:0");
        let origin = Origin::Variable("test".to_owned());
        options.network.push(Network::Tcp4, origin);
        let found = errors(&resolved(&options, &[]));
        assert_eq!(found.len(), 2, "{found:?}");
        let names_both = |error: &String| error.starts_with("test: ") && error.contains("tcp4");
        assert!(found.iter().all(names_both), "{found:?}");
    }

    #[test]
    fn a_contradiction_is_reported_under_the_operators_variable() {
        let options = program(|it| it.listen(["http=127.0.0.1", "admin=127.0.0.1:1"]));
        for (pairs, labels) in [
            (
                &[("PREFORK_LISTEN", "admin=:1")][..],
                &["listen: 'http="][..],
            ),
            (
                &[("PREFORK_LISTEN", "127.0.0.2")],
                &["PREFORK_LISTEN: '127.0.0.2'"],
            ),
            (
                &[("PREFORK_NETWORK", "tcp6"), ("PORT", "80")],
                &["PREFORK_NETWORK: 'http=", "PREFORK_NETWORK: 'admin="],
            ),
        ] {
            let found = errors(&resolved(&options, pairs));
            assert_eq!(found.len(), labels.len(), "{found:?}");
            for (error, label) in found.iter().zip(labels) {
                assert!(error.starts_with(label), "{error}");
            }
        }
        let options = program(|it| {
            it.listen(["http=127.0.0.1", "admin=127.0.0.1:1"])
                .network("tcp4")
        });
        let pairs = [("PREFORK_LISTEN", "http=[::1]:80")];
        let found = errors(&resolved(&options, &pairs));
        assert!(
            found[0].starts_with("PREFORK_LISTEN: 'http=[::1]:80'"),
            "{found:?}"
        );
        assert_eq!(found.len(), 1, "{found:?}");
    }

    fn program(set: impl FnOnce(crate::Prefork) -> crate::Prefork) -> OptionLayers {
        set(crate::Prefork::new()).options
    }

    /// Each case has an invalid value, and options that it would replace.
    #[test]
    fn values_that_an_invalid_value_replaces_are_not_checked() {
        type Case = (OptionLayers, &'static [(&'static str, &'static str)]);
        let cases: Vec<Case> = vec![
            // The program's address is replaced, or its network.
            (
                program(|it| it.listen("127.0.0.1:80")),
                &[
                    ("PREFORK_NETWORK", "tcp6"),
                    ("PREFORK_LISTEN", "nonsense:x"),
                ],
            ),
            (
                program(|it| it.network("tcp6")),
                &[
                    ("PREFORK_NETWORK", "tcp5"),
                    ("PREFORK_LISTEN", "127.0.0.1:80"),
                ],
            ),
            (
                program(|it| it.listen("127.0.0.1:80").network("tcp6")),
                &[("PREFORK_LISTEN", "nonsense:x")],
            ),
            // So are a missing port, equal names and equal addresses.
            (
                program(|it| it.listen("127.0.0.1")),
                &[("PREFORK_LISTEN", "nonsense:x")],
            ),
            (
                program(|it| it.listen("127.0.0.1")),
                &[("PREFORK_LISTEN", "nonsense:x"), ("PORT", "http")],
            ),
            (
                program(|it| it.listen(["a=:80", "a=:81"])),
                &[("PREFORK_LISTEN", "nonsense:x")],
            ),
            (
                program(|it| it.listen([":80", "127.0.0.1:80"])),
                &[("PREFORK_LISTEN", "nonsense:x")],
            ),
            // The network decides which addresses a missing host covers.
            (
                program(|it| it.listen([":80", "127.0.0.1:80"])),
                &[("PREFORK_NETWORK", "both")],
            ),
            // The number of workers replaces the one of the platform.
            (
                OptionLayers::default(),
                &[("PREFORK_WORKERS", "many"), ("WEB_CONCURRENCY", "lots")],
            ),
            // The list may replace the addresses that use TLS.
            (
                program(|it| it.listen("tls://127.0.0.1:80")),
                &[("PREFORK_LISTEN", "nonsense:x")],
            ),
            (
                program(|it| it.listen("127.0.0.1:80")),
                &[("PREFORK_LISTEN", "tls://nonsense:x")],
            ),
            // The program's list is invalid: it is unknown which listener the name replaces.
            (
                program(|it| it.listen("nonsense:x")),
                &[("PREFORK_LISTEN", "http=:81"), ("PREFORK_NETWORK", "tcp6")],
            ),
        ];
        for (options, pairs) in cases {
            let found = errors(&resolved(&options, pairs));
            assert_eq!(found.len(), 1, "{pairs:?}: {found:?}");
        }
    }

    #[test]
    fn an_overlap_is_reported_under_the_option_that_caused_it() {
        for (list, pairs, label) in [
            (
                ":80,[::1]:80",
                &[("PREFORK_NETWORK", "tcp6")][..],
                "PREFORK_NETWORK",
            ),
            ("[::]:80,[::1]:80", &[("PREFORK_NETWORK", "tcp6")], "listen"),
            (
                "a=:80,b=[::1]:81",
                &[("PREFORK_LISTEN", "b=127.0.0.1:80")],
                "PREFORK_LISTEN",
            ),
            ("0.0.0.0,127.0.0.1", &[("PORT", "80")], "listen"),
            (
                ":0",
                &[
                    ("PREFORK_NETWORK", "tcp6"),
                    ("PREFORK_LISTEN", ":80,[::1]:80"),
                ],
                "PREFORK_LISTEN",
            ),
        ] {
            let options = program(|it| it.listen(list));
            let found = errors(&resolved(&options, pairs));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(&format!("{label}: '")), "{found:?}");
            assert!(found[0].contains("covers"), "{found:?}");
        }
    }

    #[test]
    fn protocols_are_not_checked_against_a_list_that_an_invalid_one_replaces() {
        if !HAS_TLS {
            return;
        }
        for listen in ["tls://127.0.0.1:80", "127.0.0.1:80"] {
            let options = program(|it| it.listen(listen).tls_alpn("h2"));
            let resolved = resolved(&options, &[("PREFORK_LISTEN", "nonsense:x")]);
            assert_eq!(errors(&resolved).len(), 1, "{resolved:?}");
            assert_eq!(resolved.ignored, [""; 0]);
        }
        let options = program(|it| it.tls_cert("a.pem").tls_key("a.key").tls_alpn("h2"));
        let found = errors(&resolved(
            &options,
            &[("PREFORK_TLS_CERT", "-----BEGIN CERTIFICATE-----")],
        ));
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn an_error_of_the_program_that_the_operator_replaces_is_an_ignored_line() {
        let options = program(|it| it.workers("many").listen("nonsense:x").network("tcp5"));
        let pairs = [
            ("PREFORK_WORKERS", "2"),
            ("PREFORK_LISTEN", "127.0.0.1:0"),
            ("PREFORK_NETWORK", "tcp4"),
        ];
        assert_eq!(errors(&resolved(&options, &pairs)), [""; 0]);
        let ignored = report(&options, &pairs).ignored;
        assert_eq!(ignored.len(), 3, "{ignored:?}");
        assert!(
            ignored.iter().any(|line| line
                .starts_with("workers: 'many' is not a number of workers")
                && line.ends_with("(overridden by PREFORK_WORKERS)")),
            "{ignored:?}"
        );
        assert_eq!(errors(&resolved(&options, &pairs[..1])).len(), 2);
    }

    #[test]
    fn an_empty_variable_is_reported_like_an_unset_one() {
        let options = program(|it| it.listen("http=127.0.0.1").workers(2));
        let unset = [("PORT", "80")];
        let empty = [
            ("PORT", "80"),
            ("WEB_CONCURRENCY", ""),
            ("PREFORK_WORKERS", ""),
            ("PREFORK_LISTEN", " "),
            ("PREFORK_COLOR", ""),
        ];
        assert_eq!(report(&options, &empty), report(&options, &unset));
        let found = errors(&resolved(&options, &[("PORT", "")]));
        assert!(found[0].contains("or set the variable PORT"), "{found:?}");
    }

    #[test]
    fn missing_tls_options_are_reported_for_each_option_that_needs_them() {
        let options = program(|it| it.listen("tls://127.0.0.1:0").tls_cert("cert.pem"));
        let found = errors(&resolved(&options, &[("PREFORK_TLS_ALPN", "h2")]));
        let expected = if HAS_TLS {
            [
                "tls_cert: needs tls_key as well",
                "PREFORK_TLS_ALPN: needs tls_key as well",
                "listen: 'listener0=tls://127.0.0.1:0' uses TLS, which needs tls_key",
            ]
        } else {
            [
                "tls_cert: needs feature `tls` of prefork",
                "PREFORK_TLS_ALPN: needs feature `tls` of prefork",
                "listen: 'listener0=tls://127.0.0.1:0' uses TLS, which needs feature `tls` of prefork",
            ]
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn protocols_of_the_program_are_ignored_without_tls() {
        let options = program(|it| it.listen("127.0.0.1:0").tls_alpn(["h2", "http/1.1"]));
        let plain = resolved(&options, &[]);
        if !HAS_TLS {
            assert_eq!(errors(&plain), ["tls_alpn: needs feature `tls` of prefork"]);
            return;
        }
        assert_eq!(errors(&plain), [""; 0]);
        assert!(
            plain.ignored[0].starts_with("ignoring tls_alpn = h2,http/1.1 (builder at "),
            "{:?}",
            plain.ignored
        );
        for (pairs, count) in [
            (&[("PREFORK_TLS_ALPN", "h2")][..], 1),
            (&[("PREFORK_LISTEN", "tls://127.0.0.1:0")], 2),
            (&[("PREFORK_TLS_CLIENT_CA", "ca.pem")], 2),
        ] {
            let found = errors(&resolved(&options, pairs));
            assert_eq!(found.len(), count, "{found:?}");
        }
        let pair = [
            ("PREFORK_TLS_CERT", "c.pem"),
            ("PREFORK_TLS_KEY", "k.pem"),
            ("PREFORK_LISTEN", "tls://127.0.0.1:0"),
        ];
        let secure = resolved(&options, &pair);
        assert_eq!(errors(&secure), [""; 0]);
        assert_eq!(secure.config.tls_alpn.to_string(), "h2,http/1.1");
    }

    #[test]
    fn every_option_has_a_value_in_the_order_of_the_table() {
        let names: Vec<_> = report(&OptionLayers::default(), &[])
            .rows
            .iter()
            .map(|v| v.name)
            .collect();
        let table: Vec<_> = TABLE.iter().map(|row| row.name).collect();
        assert_eq!(names, table);
    }

    #[test]
    fn unnamed_listeners_are_numbered_and_names_are_unique() {
        let config = resolved(&with_listen(":0,http=:0"), &[]).config;
        let names: Vec<_> = config
            .listen
            .iter()
            .map(|spec| spec.name.as_str())
            .collect();
        assert_eq!(names, ["listener0", "http"]);
        assert!(resolved(&with_listen("a=:0,a=:0"), &[]).check().is_err());
    }
}
