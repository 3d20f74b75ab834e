//! What others call what we call otherwise: servers and supervisors that people come from.
//!
//! It knows words and what to write instead; other ways to write a name of our own (`RecoverThreshold`, `reuse_port`) are
//! found without a list, see [`suggest`](crate::suggest). A word that means two things at others is explained, not
//! translated.

use crate::suggest::is_same;

/// What a word of others is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alias {
    /// An option of ours, by its name.
    Called(&'static str),
    /// No single option: words that say what to do instead.
    Instead(&'static str),
}

/// Finds what a word of others is here; case, `_` and `-` do not count.
pub fn find(word: &str) -> Option<Alias> {
    ALIASES
        .iter()
        .find(|(words, _)| words.iter().any(|other| is_same(word, other)))
        .map(|(_, alias)| *alias)
}

/// The words, next to what they are here.
const ALIASES: &[(&[&str], Alias)] = &[
    (
        &[
            "addr",
            "addrs",
            "address",
            "addresses",
            "bind",
            "endpoint",
            "endpoints",
            "listener",
            "listeners",
            "socket",
            "sockets",
        ],
        Alias::Called("listen"),
    ),
    (
        &["host", "hostname", "ip", "port", "ports"],
        Alias::Instead("host and port stand together in `listen`, as in \"0.0.0.0:8080\""),
    ),
    (&["family", "net"], Alias::Called("network")),
    (&["so_reuseport"], Alias::Called("reuseport")),
    (
        &[
            "children",
            "concurrency",
            "instances",
            "max_children",
            "n_workers",
            "nprocs",
            "num_processes",
            "num_procs",
            "num_workers",
            "process_count",
            "processes",
            "procs",
            "web_concurrency",
            "worker_count",
            "worker_processes",
        ],
        Alias::Called("workers"),
    ),
    (
        &[
            "emergency_restart_threshold",
            "max_recoveries",
            "max_respawns",
            "max_restarts",
            "max_retries",
            "restart_limit",
            "start_limit_burst",
        ],
        Alias::Called("recover_threshold"),
    ),
    (
        &[
            "emergency_restart_interval",
            "restart_window",
            "start_limit_interval",
            "start_limit_interval_sec",
        ],
        Alias::Called("recover_window"),
    ),
    (
        &[
            "respawn_delay",
            "respawn_interval",
            "restart_delay",
            "restart_interval",
            "restart_sec",
        ],
        Alias::Called("recover_interval"),
    ),
    (&["min_uptime"], Alias::Called("healthy_after")),
    (
        &[
            "boot_timeout",
            "listen_timeout",
            "readiness_timeout",
            "start_timeout",
            "startup_timeout",
            "worker_boot_timeout",
        ],
        Alias::Called("ready_timeout"),
    ),
    (
        &[
            "drain_timeout",
            "grace_period",
            "graceful_shutdown_timeout",
            "graceful_timeout",
            "kill_timeout",
            "shutdown_timeout",
            "stop_timeout",
            "timeout_graceful_shutdown",
            "worker_shutdown_timeout",
        ],
        Alias::Called("shutdown_grace_period"),
    ),
    (
        &["timeout"],
        Alias::Instead(
            "`ready_timeout` limits a worker's start, `shutdown_grace_period` its end; the time of a request is the \
             body's",
        ),
    ),
    (
        &[
            "client_timeout",
            "header_read_timeout",
            "header_timeout",
            "headers_timeout",
            "idle_timeout",
            "keep_alive",
            "keep_alive_timeout",
            "read_timeout",
            "recv_timeout",
            "request_timeout",
            "send_timeout",
            "write_timeout",
        ],
        Alias::Instead(
            "connections and requests are limited by the server in the function; `ready_timeout` limits a worker's start",
        ),
    ),
    (
        &["on_child_start", "on_spawn", "on_worker_spawn"],
        Alias::Called("on_child_spawn"),
    ),
    (
        &[
            "on_child_restart",
            "on_worker_recover",
            "on_worker_replaced",
            "on_worker_respawn",
            "on_worker_restart",
        ],
        Alias::Called("on_child_recover"),
    ),
    (
        &[
            "child_ready",
            "on_child_ready",
            "on_worker_ready",
            "worker_ready",
        ],
        Alias::Instead(
            "no hook is called when a worker is ready: `on_child_spawn` is called in the master after each start, and \
             the code of a worker stands in the function",
        ),
    ),
    (
        &[
            "on_master_init",
            "on_master_start",
            "on_start",
            "on_starting",
        ],
        Alias::Instead(
            "`init` is called first in each process, `on_master_ready` once in the master when all workers are started",
        ),
    ),
    (
        &[
            "on_exit",
            "on_master_exit",
            "on_master_shutdown",
            "on_master_stop",
            "on_shutdown",
            "on_stop",
        ],
        Alias::Instead(
            "no hook is called when the master stops: a worker awaits `prefork::shutdown()`, and a builder's program \
             continues after its call; `on_master_death` is called in the workers of a master that died",
        ),
    ),
    (
        &["on_ready", "when_ready"],
        Alias::Called("on_master_ready"),
    ),
    (
        &[
            "child_exit",
            "on_child_death",
            "on_child_exit",
            "on_child_stop",
            "on_worker_death",
            "on_worker_exit",
            "on_worker_shutdown",
            "on_worker_stop",
            "worker_exit",
        ],
        Alias::Instead("`on_child_recover` hears of a child that ended, when it was replaced"),
    ),
    (
        &[
            "after_fork",
            "on_worker_boot",
            "on_worker_start",
            "post_fork",
            "post_worker_init",
        ],
        Alias::Instead("what a worker does first stands first in the function"),
    ),
    (
        &["command_producer", "producer"],
        Alias::Called("child_producer"),
    ),
    (
        &["before_fork", "pre_fork"],
        Alias::Instead("`child_producer` is called before every start of a child"),
    ),
    (&["log", "logging"], Alias::Called("logger")),
    (
        &[
            "num_threads",
            "runtime_worker_threads",
            "thread_count",
            "threads",
            "worker_threads",
        ],
        Alias::Called("runtime_threads"),
    ),
    (
        &["flavor"],
        Alias::Instead(
            "`runtime_threads` says it: 1 is tokio's current-thread runtime, more is its multi-thread one",
        ),
    ),
    (
        &["async_runtime", "executor", "rt"],
        Alias::Called("runtime"),
    ),
    (&["krate", "prefork_crate"], Alias::Called("crate")),
    (
        &[
            "cert",
            "certfile",
            "certificate",
            "certs",
            "ssl_cert",
            "ssl_certfile",
            "ssl_certificate",
            "tls_cert_file",
            "tls_certificate",
            "tls_certs",
        ],
        Alias::Called("tls_cert"),
    ),
    (
        &[
            "keyfile",
            "private_key",
            "ssl_certificate_key",
            "ssl_key",
            "ssl_keyfile",
            "tls_key_file",
            "tls_private_key",
        ],
        Alias::Called("tls_key"),
    ),
    (&["alpn", "alpn_protocols"], Alias::Called("tls_alpn")),
    (
        &[
            "ca_cert",
            "ca_certs",
            "ca_file",
            "client_ca",
            "ssl_ca",
            "ssl_ca_certs",
            "ssl_client_certificate",
            "tls_ca",
            "tls_client_ca_file",
            "tls_client_cert",
            "tls_client_certificate",
        ],
        Alias::Called("tls_client_ca"),
    ),
    (
        &[
            "https",
            "https_port",
            "ssl",
            "tls",
            "tls_listen",
            "tls_port",
        ],
        Alias::Instead(
            "an address says it, as in \"https=tls://0.0.0.0:443\", with `tls_cert` and `tls_key`",
        ),
    ),
    (
        &["ssl_ciphers", "ssl_protocols", "ssl_version", "tls_version"],
        Alias::Instead(
            "versions and ciphers are those of rustls; a body with a plain listener brings a configuration of its own",
        ),
    ),
    (
        &["backlog"],
        Alias::Instead("a listener's queue is as long as the system allows (`net.core.somaxconn`)"),
    ),
    (
        &["preload", "preload_app"],
        Alias::Instead("there is no such thing: every worker is the program started anew"),
    ),
    (
        &["max_requests", "max_requests_jitter"],
        Alias::Instead("there is no such thing: a worker lives until it ends or the master stops"),
    ),
    (
        &["daemon", "daemonize"],
        Alias::Instead("there is no such thing: the master stays where it was started"),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Row;
    use crate::suggest::{Hint, hint};

    #[test]
    fn words_of_the_peers_are_known_in_any_case() {
        for (word, name) in [
            ("addr", "listen"),
            ("Bind", "listen"),
            ("processes", "workers"),
            ("NUM_WORKERS", "workers"),
            ("worker-processes", "workers"),
            ("ssl_certfile", "tls_cert"),
            ("graceful_timeout", "shutdown_grace_period"),
            ("worker_threads", "runtime_threads"),
            ("max_restarts", "recover_threshold"),
            ("CommandProducer", "child_producer"),
        ] {
            assert_eq!(find(word), Some(Alias::Called(name)), "{word}");
        }
        for word in ["timeout", "port", "backlog", "preload"] {
            assert!(matches!(find(word), Some(Alias::Instead(_))), "{word}");
        }
        assert_eq!(find("colour"), None);
    }

    /// A hook of another process or another moment, or the limit of something else, must not be suggested.
    #[test]
    fn words_of_another_process_or_moment_are_explained() {
        let names = || crate::TABLE.iter().map(|row| row.name);
        for (word, text) in [
            (
                "on_worker_ready",
                "no hook is called when a worker is ready",
            ),
            ("on_child_ready", "no hook is called when a worker is ready"),
            ("on_worker_death", "`on_child_recover` hears"),
            ("on_child_death", "`on_child_recover` hears"),
            ("on_master_start", "`init` is called first"),
            ("on_master_stop", "no hook is called when the master stops"),
            ("on_master_exit", "no hook is called when the master stops"),
            ("read_timeout", "connections and requests are limited"),
            ("header_timeout", "connections and requests are limited"),
            ("tls_port", "an address says it"),
        ] {
            let Some(Hint::Instead(found)) = hint(word, names()) else {
                panic!("{word}: {:?}", hint(word, names()));
            };
            assert!(found.starts_with(text), "{word}: {found}");
        }
    }

    /// A word that were one of ours would never be asked for, one that stood here twice would have two answers, and an
    /// option that is gone must take its words along.
    #[test]
    fn words_are_not_ours_and_lead_to_what_is() {
        let expansion = ["crate", "runtime"];
        let mut seen: Vec<&str> = Vec::new();
        for (words, alias) in ALIASES {
            for word in *words {
                assert!(seen.iter().all(|other| !is_same(word, other)), "{word}");
                assert!(
                    crate::TABLE.iter().all(|row| !is_same(word, row.name)),
                    "{word}"
                );
                seen.push(word);
            }
            if let Alias::Called(name) = alias {
                assert!(
                    Row::find(name).is_some() || expansion.contains(name),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn explanations_name_options_that_exist() {
        for (_, alias) in ALIASES {
            let Alias::Instead(text) = alias else {
                continue;
            };
            for name in text.split('`').skip(1).step_by(2) {
                let is_option = name.contains('_') || name == "listen";
                assert!(!is_option || Row::find(name).is_some(), "{name}");
            }
        }
    }
}
