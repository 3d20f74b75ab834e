//! What holds: every option with a value, checked against the others.

use std::num::NonZeroUsize;

use prefork_options::{Address, Prefix, Protocols, Workers, network};

use super::endpoint::{endpoints, place_of};
use super::origin::{Origin, Said};
use super::platform::{fill_workers, overruled_port, read_port};
use super::written::{InWords, values};
use super::{Config, Environment, Options, Places};
use crate::error::Error;

/// All layers in one, and what became of each.
#[derive(Debug, Clone)]
pub(crate) struct Settled {
    /// With a default in the place of whatever cannot be used.
    pub(crate) config: Config,
    /// Who said what, with the mistakes of all layers.
    options: Options,
    /// What was said for nobody, a line each.
    pub(crate) idle: Vec<String>,
    /// Variables of the platform that an option overrules with another value, a sentence each.
    pub(crate) overruled: Vec<String>,
    has_port_of_platform: bool,
}

impl Settled {
    /// # Errors
    /// All mistakes of all layers.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let mistakes = &self.options.mistakes;
        if mistakes.is_empty() {
            return Ok(());
        }
        Err(Error::Options(mistakes.clone()))
    }

    /// Everything for people, which only an explanation needs.
    pub(crate) fn in_words(&self, environment: &Environment) -> InWords {
        let mut ignored = self.idle.clone();
        ignored.extend(self.options.replaced.iter().cloned());
        let mut values = values(&self.config, &self.options, &mut ignored);
        let listen = values.iter_mut().find(|value| value.name == "listen");
        if let Some(listen) = listen.filter(|_| self.has_port_of_platform) {
            listen.origin.push_str(", port by PORT");
        }
        ignored.extend(environment.ignored());
        InWords { values, ignored }
    }
}

/// Fills what was left open, from the platform's variables and the defaults, and checks what only shows in the whole.
///
/// How many CPUs there are is asked where that is wanted: the standard library reads files for it.
pub(crate) fn settle(
    mut options: Options,
    environment: &Environment,
    cpus: impl FnOnce() -> usize,
) -> Settled {
    let mut idle = Vec::new();
    let mut overruled = Vec::new();
    overruled.extend(fill_workers(&mut options, environment, &mut idle));
    overruled.extend(overruled_port(&options, environment));
    let port = read_port(&mut options, environment, &mut idle);
    idle.extend(options.spare_protocols());
    let addresses = options.listen.or(Vec::new());
    check_network(&addresses, &mut options);
    let listen = endpoints(&addresses, port, &mut options);
    let workers = match options.workers.or(Workers::default()) {
        Workers::Count(count) => count,
        wish @ (Workers::Auto | Workers::AutoLess(_) | Workers::Percent(_)) => wish.count(cpus()),
    };
    let whole = |pem| super::secure::whole(pem, options.directory.as_deref());
    let per_worker = u32::try_from(workers).unwrap_or(u32::MAX);
    let config = Config {
        listen,
        workers,
        network: options.network.value().copied(),
        reuseport: options.reuseport.or(false),
        recover_threshold: options
            .recover_threshold
            .or(per_worker.max(Config::MIN_RECOVER_THRESHOLD)),
        recover_window: options.recover_window.or(Config::RECOVER_WINDOW),
        recover_interval: options.recover_interval.or(Config::RECOVER_INTERVAL),
        healthy_after: options.healthy_after.or(Config::HEALTHY_AFTER),
        ready_timeout: options.ready_timeout.or(Config::READY_TIMEOUT),
        shutdown_grace_period: options
            .shutdown_grace_period
            .or(Config::SHUTDOWN_GRACE_PERIOD),
        env_prefix: options.env_prefix.or(Prefix::default()),
        runtime_threads: options.runtime_threads.or(Config::RUNTIME_THREADS),
        tls_cert: options.tls_cert.value().map(whole),
        tls_key: options.tls_key.value().map(whole),
        tls_alpn: options.tls_alpn.or(Protocols::default()),
        tls_client_ca: options.tls_client_ca.value().map(whole),
        places: Places {
            listen: options.listen.place("listen"),
            workers: options.workers.place("workers"),
            tls_cert: options.tls_cert.place("tls_cert"),
            tls_key: options.tls_key.place("tls_key"),
            tls_client_ca: options.tls_client_ca.place("tls_client_ca"),
        },
    };
    super::secure::check(&config, &mut options);
    Settled {
        config,
        options,
        idle,
        overruled,
        has_port_of_platform: port.is_some(),
    }
}

/// Two that contradict each other are told by the operator's word, where one of them is: the program was good without it.
fn check_network(addresses: &[Address], options: &mut Options) {
    let Some(&network) = options.network.value() else {
        return;
    };
    if !options.network.is_known() || !options.listen.is_known() {
        return;
    }
    for address in addresses {
        let place = match options.network.origin() {
            Origin::Variable(name) => name,
            Origin::Default | Origin::Program(..) => place_of(address, &options.listen),
        };
        options.check(&place, network::check(network, address));
    }
}

impl Options {
    /// Takes the threads out where the body has no runtime of ours, and says so in a line. In a program that is built
    /// without any such runtime its author is refused them instead.
    pub(crate) fn spare_threads(&mut self) -> Option<String> {
        let is_known = self.runtime_threads.is_known();
        let Said { value, origin } = std::mem::take(&mut self.runtime_threads).into_last()?;
        if !is_known {
            return None;
        }
        if !cfg!(feature = "tokio") && matches!(origin, Origin::Program(..)) {
            let reason = "these threads are of the runtime that feature `tokio` of prefork brings, which is off";
            self.mistake("runtime_threads", &reason);
            return None;
        }
        Some(format!(
            "runtime_threads = {value} ({origin}): ignored, the body is not async or brings its own runtime"
        ))
    }
}

/// The standard library counts what affinity mask and cgroup quota leave.
pub(crate) fn usable_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

#[cfg(test)]
mod tests {
    use std::panic::Location;

    use prefork_options::{Network, Row, TABLE, list};

    use super::*;
    use crate::config::Door;

    const CPUS: usize = 6;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        Environment::read(Prefix::default(), pairs)
    }

    fn settled(options: &Options, pairs: &[(&str, &str)]) -> Settled {
        let environment = environment(pairs);
        let mut options = options.clone();
        options.overlay(&environment);
        settle(options, &environment, || CPUS)
    }

    fn in_words(options: &Options, pairs: &[(&str, &str)]) -> InWords {
        settled(options, pairs).in_words(&environment(pairs))
    }

    fn with_workers(text: &str) -> Options {
        let mut prefork = crate::Prefork::new();
        prefork.workers(text);
        prefork.options_mut().clone()
    }

    fn with_listen(text: &str) -> Options {
        let mut options = Options::default();
        let list = list::read(text).expect("good addresses");
        options
            .listen
            .say(list, Origin::Variable("test".to_owned()));
        options
    }

    fn mistakes(settled: &Settled) -> Vec<String> {
        settled
            .options
            .mistakes
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn the_environment_overrides_what_was_said() {
        let (options, said) = (with_workers("2"), [("PREFORK_WORKERS", "50%")]);
        assert_eq!(settled(&options, &said).config.workers, 3);
        let words = in_words(&options, &said);
        let workers = words.values.iter().find(|value| value.name == "workers");
        let workers = workers.expect("every option is there");
        assert_eq!(
            (workers.text.as_str(), workers.origin.as_str()),
            ("3 (50%)", "PREFORK_WORKERS")
        );
        let [ignored] = words.ignored.as_slice() else {
            panic!("not one line: {:?}", words.ignored);
        };
        assert!(
            ignored.starts_with("workers = 2 (builder at prefork/src/config/settled.rs:")
                && ignored.ends_with("): overridden by PREFORK_WORKERS"),
            "{ignored}"
        );
    }

    #[test]
    fn the_platform_counts_where_workers_were_left_open() {
        for (said, workers) in [
            (Workers::Auto, 4),
            (Workers::Count(2), 2),
            (Workers::AutoLess(1), 5),
            (Workers::Count(0), 0),
        ] {
            let mut options = Options::default();
            options
                .workers
                .say(said, Origin::Program(Door::Attribute, Location::caller()));
            let settled = settled(&options, &[("WEB_CONCURRENCY", "4")]);
            assert_eq!(settled.config.workers, workers, "{said}");
        }
        assert_eq!(
            settled(&Options::default(), &[("WEB_CONCURRENCY", "4")])
                .config
                .workers,
            4
        );
        let by_operator = [("WEB_CONCURRENCY", "4"), ("PREFORK_WORKERS", "3")];
        let settled = settled(&Options::default(), &by_operator);
        assert_eq!(settled.config.workers, 3);
        assert_eq!(settled.idle, ["WEB_CONCURRENCY='4': workers is set"]);
    }

    #[test]
    fn auto_of_the_operator_and_of_configure_is_stronger_than_the_platform() {
        let platform = ("WEB_CONCURRENCY", "4");
        let operator = settled(
            &Options::default(),
            &[platform, ("PREFORK_WORKERS", "auto")],
        );
        assert_eq!(operator.config.workers, CPUS);
        assert_eq!(operator.idle, ["WEB_CONCURRENCY='4': workers is set"]);

        let mut options = Options::default();
        let configure = Origin::Program(Door::Configure, Location::caller());
        options.workers.say(Workers::Auto, configure);
        assert_eq!(settled(&options, &[platform]).config.workers, CPUS);
    }

    #[test]
    fn a_variable_of_the_platform_that_is_overruled_is_reported_with_the_way_out() {
        let with_both = || {
            let mut prefork = crate::Prefork::new();
            prefork.listen(["http=0.0.0.0:8080", ":9090"]).workers(2);
            prefork.options_mut().clone()
        };
        let platform = [("PORT", "5000"), ("WEB_CONCURRENCY", "4")];
        let overruled = settled(&with_both(), &platform).overruled;
        let [workers, port] = overruled.as_slice() else {
            panic!("not two lines: {overruled:?}");
        };
        assert!(
            workers.starts_with("WEB_CONCURRENCY='4' is ignored: workers = 2 (builder at prefork/src/config/settled.rs:")
                && workers.ends_with("; to let WEB_CONCURRENCY set it, write workers = \"auto\""),
            "{workers}"
        );
        assert!(
            port.starts_with(
                "PORT='5000' is ignored: listen (builder at prefork/src/config/settled.rs:"
            ) && port.ends_with("; to let PORT set it, leave the port out, as in 'http=0.0.0.0'"),
            "{port}"
        );

        let by_operator = [("PREFORK_WORKERS", "3"), ("PREFORK_LISTEN", "127.0.0.1:80")];
        let overruled = settled(&with_both(), &[platform, by_operator].concat()).overruled;
        assert_eq!(
            overruled,
            [
                "WEB_CONCURRENCY='4' is ignored: workers = 3 (PREFORK_WORKERS) is set; to let WEB_CONCURRENCY set it, \
                 remove PREFORK_WORKERS",
                "PORT='5000' is ignored: listen (PREFORK_LISTEN) sets every port; to let PORT set it, leave the port out, \
                 as in '127.0.0.1'",
            ]
        );
    }

    #[test]
    fn a_variable_of_the_platform_that_agrees_or_is_used_is_not_reported() {
        let mut prefork = crate::Prefork::new();
        prefork.listen(["http=0.0.0.0:8080", ":9090"]).workers(2);
        let options = prefork.options_mut().clone();
        for pairs in [
            [("PORT", "8080"), ("WEB_CONCURRENCY", "2")],
            [("PORT", "9090"), ("WEB_CONCURRENCY", "2")],
            [("PORT", ""), ("WEB_CONCURRENCY", "")],
        ] {
            assert_eq!(settled(&options, &pairs).overruled, [""; 0], "{pairs:?}");
        }
        let platform = [("PORT", "5000"), ("WEB_CONCURRENCY", "4")];
        assert_eq!(
            settled(&with_listen("0.0.0.0"), &platform).overruled,
            [""; 0]
        );
        // A program without listeners may read PORT by itself.
        assert_eq!(settled(&Options::default(), &platform).overruled, [""; 0]);
    }

    #[test]
    fn what_is_not_read_is_shown_short() {
        let long = "9".repeat(100_000);
        let settled = settled(
            &with_workers("2"),
            &[("WEB_CONCURRENCY", &long), ("PORT", &long)],
        );
        assert!(settled.idle.iter().all(|line| line.len() < 200));
        assert_eq!(settled.idle.len(), 2);
    }

    #[test]
    fn the_platform_counts_where_a_port_was_left_open() {
        let platform = [("PORT", "5000")];
        let open = settled(&with_listen("http=0.0.0.0,:80"), &platform);
        assert_eq!(
            (open.config.listen[0].port, open.config.listen[1].port),
            (5000, 80)
        );
        assert!(
            settled(&with_listen(":80"), &platform).idle[0].contains("every listener has a port")
        );
        assert!(settled(&Options::default(), &platform).idle[0].contains("there is no listener"));
    }

    #[test]
    fn bad_words_of_the_platform_are_mistakes_only_where_they_count() {
        let platform = [("PORT", "tcp://10.0.0.1:80"), ("WEB_CONCURRENCY", "many")];
        let mut options = with_listen("a=0.0.0.0,b=127.0.0.1");
        let bad = mistakes(&settled(&options, &platform));
        assert_eq!(bad.len(), 2, "{bad:?}");
        assert!(bad[0].starts_with("WEB_CONCURRENCY: 'many' is not a number of workers"));
        assert!(
            bad[1].starts_with("PORT: 'tcp://10.0.0.1:80' is not a port"),
            "{bad:?}"
        );
        options.set_text("workers", "test", Ok("1"));
        options.set_text("listen", "test", Ok(":80"));
        assert_eq!(mistakes(&settled(&options, &platform)), [""; 0]);
    }

    #[test]
    fn the_cpus_are_counted_only_for_a_wish_that_needs_them() {
        let options = with_workers("2");
        let settled = settle(options, &Environment::default(), || panic!("not needed"));
        assert_eq!(settled.config.workers, 2);
    }

    #[test]
    fn threads_that_nobody_uses_do_not_hold_and_are_told() {
        let mut options = Options::default();
        assert_eq!(options.spare_threads(), None);
        options.set_text("runtime_threads", "PREFORK_RUNTIME_THREADS", Ok("8"));
        let line = options.spare_threads().expect("they were said");
        assert!(
            line.starts_with("runtime_threads = 8 (PREFORK_RUNTIME_THREADS): ignored"),
            "{line}"
        );
        assert_eq!(
            settled(&options, &[]).config.runtime_threads,
            Config::RUNTIME_THREADS
        );
    }

    #[test]
    fn threads_by_the_program_need_the_feature() {
        let mut prefork = crate::Prefork::new();
        prefork.runtime_threads(8);
        let mut options = prefork.options_mut().clone();
        let line = options.spare_threads();
        let refused = mistakes(&settled(&options, &[]));
        if cfg!(feature = "tokio") {
            assert!(line.is_some() && refused.is_empty(), "{refused:?}");
        } else {
            assert!(refused[0].contains("feature `tokio`"), "{refused:?}");
        }
    }

    #[test]
    fn the_default_threshold_grows_with_the_workers() {
        for (workers, expected) in [("1", 8), ("8", 8), ("200", 200)] {
            let config = settled(&with_workers(workers), &[]).config;
            assert_eq!(config.recover_threshold, expected);
        }
    }

    #[test]
    fn variables_that_are_no_options_are_told_by_their_names() {
        let pairs = [("PREFORK_WEB_PORT", "9000"), ("PREFORK_COLOUR", "red")];
        assert_eq!(
            in_words(&Options::default(), &pairs).ignored,
            [
                "'PREFORK_COLOUR': no option",
                "'PREFORK_WEB_PORT': looks like a platform's, not an option"
            ]
        );
    }

    /// What the table tells people is what holds.
    #[test]
    fn the_defaults_are_those_of_the_table() {
        for value in in_words(&Options::default(), &[]).values {
            let row = Row::find(value.name).expect("it is in the table");
            assert_eq!(value.origin, "default");
            if let Some(default) = row.default.strip_prefix('`') {
                let default = default.trim_end_matches('`').trim_matches('"');
                let default = default.replace("auto", &CPUS.to_string());
                assert_eq!(value.text, default, "{}", value.name);
            }
        }
    }

    #[test]
    fn every_address_of_another_family_is_told() {
        let mut options = with_listen(":0,[::1]:0,http=[::]:0");
        let origin = Origin::Variable("test".to_owned());
        options.network.say(Network::Tcp4, origin);
        let told = mistakes(&settled(&options, &[]));
        assert_eq!(told.len(), 2, "{told:?}");
        let names_both =
            |mistake: &String| mistake.starts_with("test: ") && mistake.contains("tcp4");
        assert!(told.iter().all(names_both), "{told:?}");
    }

    #[test]
    fn a_contradiction_is_told_by_the_word_of_the_operator() {
        let mut prefork = crate::Prefork::new();
        prefork.listen(["http=127.0.0.1", "admin=127.0.0.1:1"]);
        let options = prefork.options_mut().clone();
        for (pairs, places) in [
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
            let told = mistakes(&settled(&options, pairs));
            assert_eq!(told.len(), places.len(), "{told:?}");
            for (told, place) in told.iter().zip(places) {
                assert!(told.starts_with(place), "{told}");
            }
        }
        prefork.network("tcp4");
        let options = prefork.options_mut().clone();
        let pairs = [("PREFORK_LISTEN", "http=[::1]:80")];
        let told = mistakes(&settled(&options, &pairs));
        assert!(
            told[0].starts_with("PREFORK_LISTEN: 'http=[::1]:80'"),
            "{told:?}"
        );
        assert_eq!(told.len(), 1, "{told:?}");
    }

    fn program(say: impl FnOnce(&mut crate::Prefork) -> &mut crate::Prefork) -> Options {
        let mut prefork = crate::Prefork::new();
        say(&mut prefork);
        prefork.options_mut().clone()
    }

    /// One pair of variables that cannot be read, and what a program said that they would replace.
    #[test]
    fn what_an_unreadable_value_replaces_is_not_checked() {
        type Case = (Options, &'static [(&'static str, &'static str)]);
        let cases: [Case; 12] = [
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
            // So are a port that was left open, equal names and equal addresses.
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
            // What a missing host covers depends on the network.
            (
                program(|it| it.listen([":80", "127.0.0.1:80"])),
                &[("PREFORK_NETWORK", "both")],
            ),
            // The number of workers replaces that of the platform.
            (
                Options::default(),
                &[("PREFORK_WORKERS", "many"), ("WEB_CONCURRENCY", "lots")],
            ),
            // Where TLS is spoken is replaced with the list.
            (
                program(|it| it.listen("tls://127.0.0.1:80")),
                &[("PREFORK_LISTEN", "nonsense:x")],
            ),
            (
                program(|it| it.listen("127.0.0.1:80")),
                &[("PREFORK_LISTEN", "tls://nonsense:x")],
            ),
            // The program cannot be read: which listener the name replaces is not known.
            (
                program(|it| it.listen("nonsense:x")),
                &[("PREFORK_LISTEN", "http=:81"), ("PREFORK_NETWORK", "tcp6")],
            ),
        ];
        for (options, pairs) in cases {
            let told = mistakes(&settled(&options, pairs));
            assert_eq!(told.len(), 1, "{pairs:?}: {told:?}");
        }
    }

    #[test]
    fn an_overlap_is_reported_by_what_brought_it_about() {
        for (list, pairs, place) in [
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
            let told = mistakes(&settled(&options, pairs));
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with(&format!("{place}: '")), "{told:?}");
            assert!(told[0].contains("covers"), "{told:?}");
        }
    }

    #[test]
    #[cfg(feature = "tls")]
    fn protocols_of_a_list_that_an_unreadable_one_replaces_are_not_checked() {
        for listen in ["tls://127.0.0.1:80", "127.0.0.1:80"] {
            let options = program(|it| it.listen(listen).tls_alpn("h2"));
            let settled = settled(&options, &[("PREFORK_LISTEN", "nonsense:x")]);
            assert_eq!(mistakes(&settled).len(), 1, "{settled:?}");
            assert_eq!(settled.idle, [""; 0]);
        }
        let options = program(|it| it.tls_cert("a.pem").tls_key("a.key").tls_alpn("h2"));
        let told = mistakes(&settled(
            &options,
            &[("PREFORK_TLS_CERT", "-----BEGIN CERTIFICATE-----")],
        ));
        assert_eq!(told.len(), 1, "{told:?}");
    }

    #[test]
    fn a_mistake_of_the_program_that_the_operator_replaces_is_an_ignored_line() {
        let options = program(|it| it.workers("many").listen("nonsense:x").network("tcp5"));
        let pairs = [
            ("PREFORK_WORKERS", "2"),
            ("PREFORK_LISTEN", "127.0.0.1:0"),
            ("PREFORK_NETWORK", "tcp4"),
        ];
        assert_eq!(mistakes(&settled(&options, &pairs)), [""; 0]);
        let ignored = in_words(&options, &pairs).ignored;
        assert_eq!(ignored.len(), 3, "{ignored:?}");
        assert!(
            ignored.iter().any(|line| line
                .starts_with("workers: 'many' is not a number of workers")
                && line.ends_with("(overridden by PREFORK_WORKERS)")),
            "{ignored:?}"
        );
        assert_eq!(mistakes(&settled(&options, &pairs[..1])).len(), 2);
    }

    #[test]
    fn an_empty_variable_is_explained_as_if_it_were_unset() {
        let options = program(|it| it.listen("http=127.0.0.1").workers(2));
        let unset = [("PORT", "80")];
        let empty = [
            ("PORT", "80"),
            ("WEB_CONCURRENCY", ""),
            ("PREFORK_WORKERS", ""),
            ("PREFORK_LISTEN", " "),
            ("PREFORK_COLOUR", ""),
        ];
        assert_eq!(in_words(&options, &empty), in_words(&options, &unset));
        let told = mistakes(&settled(&options, &[("PORT", "")]));
        assert!(told[0].contains("or set the variable PORT"), "{told:?}");
    }

    #[test]
    fn what_tls_needs_is_told_for_each_that_was_said() {
        let mut prefork = crate::Prefork::new();
        prefork.listen("tls://127.0.0.1:0").tls_cert("cert.pem");
        let options = prefork.options_mut().clone();
        let told = mistakes(&settled(&options, &[("PREFORK_TLS_ALPN", "h2")]));
        let expected = if cfg!(feature = "tls") {
            [
                "tls_cert: needs tls_key as well",
                "PREFORK_TLS_ALPN: needs tls_key as well",
                "listen: 'listener0=tls://127.0.0.1:0' speaks TLS, which needs tls_key",
            ]
        } else {
            [
                "tls_cert: needs feature `tls` of prefork",
                "PREFORK_TLS_ALPN: needs feature `tls` of prefork",
                "listen: 'listener0=tls://127.0.0.1:0' speaks TLS, which needs feature `tls` of prefork",
            ]
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn protocols_of_the_program_wait_for_tls() {
        let mut prefork = crate::Prefork::new();
        prefork.listen("127.0.0.1:0").tls_alpn(["h2", "http/1.1"]);
        let options = prefork.options_mut().clone();
        let plain = settled(&options, &[]);
        if cfg!(not(feature = "tls")) {
            assert_eq!(
                mistakes(&plain),
                ["tls_alpn: needs feature `tls` of prefork"]
            );
            return;
        }
        assert_eq!(mistakes(&plain), [""; 0]);
        assert!(
            plain.idle[0].starts_with("tls_alpn = h2,http/1.1 (builder at "),
            "{:?}",
            plain.idle
        );
        for (pairs, count) in [
            (&[("PREFORK_TLS_ALPN", "h2")][..], 1),
            (&[("PREFORK_LISTEN", "tls://127.0.0.1:0")], 2),
            (&[("PREFORK_TLS_CLIENT_CA", "ca.pem")], 2),
        ] {
            let told = mistakes(&settled(&options, pairs));
            assert_eq!(told.len(), count, "{told:?}");
        }
        let pair = [
            ("PREFORK_TLS_CERT", "c.pem"),
            ("PREFORK_TLS_KEY", "k.pem"),
            ("PREFORK_LISTEN", "tls://127.0.0.1:0"),
        ];
        let secure = settled(&options, &pair);
        assert_eq!(mistakes(&secure), [""; 0]);
        assert_eq!(secure.config.tls_alpn.to_string(), "h2,http/1.1");
    }

    #[test]
    fn every_option_has_a_value_in_the_order_of_the_table() {
        let names: Vec<_> = in_words(&Options::default(), &[])
            .values
            .iter()
            .map(|v| v.name)
            .collect();
        let table: Vec<_> = TABLE.iter().map(|row| row.name).collect();
        assert_eq!(names, table);
    }

    #[test]
    fn unnamed_listeners_are_numbered_and_names_are_unique() {
        let config = settled(&with_listen(":0,http=:0"), &[]).config;
        let names: Vec<_> = config
            .listen
            .iter()
            .map(|endpoint| endpoint.name.as_str())
            .collect();
        assert_eq!(names, ["listener0", "http"]);
        assert!(settled(&with_listen("a=:0,a=:0"), &[]).check().is_err());
    }
}
