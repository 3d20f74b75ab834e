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
        &["on_spawn", "on_worker_spawn"],
        Alias::Called("on_child_spawn"),
    ),
    (
        &["on_ready", "when_ready"],
        Alias::Called("on_master_ready"),
    ),
    (
        &[
            "child_exit",
            "on_child_exit",
            "on_worker_exit",
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
        ],
        Alias::Called("tls_client_ca"),
    ),
    (
        &["https", "ssl", "tls"],
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
