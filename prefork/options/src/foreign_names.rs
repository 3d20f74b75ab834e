//! Names of options in other servers, and what to use in prefork instead.
//!
//! Other spellings of prefork's own names (`RecoverThreshold`, `reuse_port`) need no list, see
//! [`suggest`](crate::suggest). A name with two meanings in other servers gets an explanation
//! instead of one option.

use crate::spelling::is_same;

/// What to use instead of a name of another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alias {
    /// An option of prefork, by its name.
    Called(&'static str),
    /// No single option has this meaning: a text that explains what to do.
    Instead(&'static str),
}

/// Finds what to use instead of a name of another server.
///
/// Case, `_` and `-` are ignored.
pub fn find(name: &str) -> Option<Alias> {
    ALIASES
        .iter()
        .find(|(names, _)| names.split('|').any(|other| is_same(name, other)))
        .map(|(_, alias)| *alias)
}

/// Names of other servers, separated by `|`, and what to use instead.
const ALIASES: &[(&str, Alias)] = &[
    (
        "addr|addrs|address|addresses|bind|endpoint|endpoints|listener|listeners|socket|sockets",
        Alias::Called("listen"),
    ),
    (
        "host|hostname|ip|port|ports",
        Alias::Instead("set host and port together in `listen`, as in \"0.0.0.0:8080\""),
    ),
    ("family|net", Alias::Called("network")),
    ("so_reuseport", Alias::Called("reuseport")),
    ("tcp_nodelay", Alias::Called("nodelay")),
    ("ipv6only|ipv6_v6only", Alias::Called("v6only")),
    (
        "children|concurrency|instances|max_children|n_workers|nprocs|num_processes|num_procs|\
         num_workers|process_count|processes|procs|web_concurrency|worker_count|worker_processes",
        Alias::Called("workers"),
    ),
    (
        "emergency_restart_threshold|max_recoveries|max_respawns|max_restarts|max_retries|\
         restart_limit|start_limit_burst",
        Alias::Called("recover_threshold"),
    ),
    (
        "emergency_restart_interval|restart_window|start_limit_interval|start_limit_interval_sec",
        Alias::Called("recover_window"),
    ),
    (
        "respawn_delay|respawn_interval|restart_delay|restart_interval|restart_sec",
        Alias::Called("recover_interval"),
    ),
    ("min_uptime", Alias::Called("healthy_after")),
    (
        "boot_timeout|listen_timeout|readiness_timeout|start_timeout|startup_timeout|\
         worker_boot_timeout",
        Alias::Called("ready_timeout"),
    ),
    (
        "drain_timeout|grace_period|graceful_shutdown_timeout|graceful_timeout|kill_timeout|\
         shutdown_timeout|stop_timeout|timeout_graceful_shutdown|worker_shutdown_timeout",
        Alias::Called("shutdown_grace_period"),
    ),
    (
        "timeout",
        Alias::Instead(
            "`ready_timeout` limits the start of a worker, `shutdown_grace_period` its stop; limit the time of \
             requests in the server that `main` runs",
        ),
    ),
    (
        "client_timeout|header_read_timeout|header_timeout|headers_timeout|idle_timeout|\
         keep_alive|keep_alive_timeout|read_timeout|recv_timeout|request_timeout|send_timeout|\
         write_timeout",
        Alias::Instead(
            "limit connections and requests in the server that `main` runs; `ready_timeout` limits the start of a \
             worker",
        ),
    ),
    (
        "on_child_start|on_spawn|on_worker_spawn",
        Alias::Called("on_child_spawn"),
    ),
    (
        "on_child_restart|on_worker_recover|on_worker_replaced|on_worker_respawn|\
         on_worker_restart",
        Alias::Called("on_child_recover"),
    ),
    (
        "child_ready|on_worker_ready|worker_ready",
        Alias::Called("on_child_ready"),
    ),
    (
        "on_master_init|on_master_start|on_start|on_starting",
        Alias::Instead(
            "`init` is called first in each process, `on_master_ready` once in the master after all workers were started",
        ),
    ),
    (
        "on_exit|on_master_exit|on_master_shutdown|on_master_stop|on_shutdown|on_stop",
        Alias::Instead(
            "no hook is called when the master stops; a worker can wait for `prefork::shutdown()`, and with the \
             builder the program continues after `run`; `on_master_death` is called in a worker whose master died",
        ),
    ),
    ("on_ready|when_ready", Alias::Called("on_master_ready")),
    (
        "child_exit|on_child_death|on_child_exit|on_child_stop|on_worker_death|on_worker_exit|\
         on_worker_shutdown|on_worker_stop|worker_exit",
        Alias::Instead("`on_child_recover` is called after a worker that exited was replaced"),
    ),
    (
        "after_fork|on_worker_boot|on_worker_start|post_fork|post_worker_init",
        Alias::Instead("put code that a worker runs first at the beginning of `main`"),
    ),
    ("command_producer|producer", Alias::Called("child_producer")),
    (
        "before_fork|pre_fork",
        Alias::Instead("`child_producer` is called before each start of a worker"),
    ),
    ("log|logging", Alias::Called("logger")),
    (
        "num_threads|runtime_worker_threads|thread_count|threads|worker_threads",
        Alias::Called("runtime_threads"),
    ),
    (
        "affinity|cpu_affinity|cpu_pinning|pin_workers|worker_cpu_affinity",
        Alias::Called("pin_cpus"),
    ),
    (
        "flavor",
        Alias::Instead(
            "use `runtime_threads`: 1 is tokio's current-thread runtime, more is its multi-thread runtime",
        ),
    ),
    ("async_runtime|executor|rt", Alias::Called("runtime")),
    ("krate|prefork_crate", Alias::Called("crate")),
    (
        "cert|certfile|certificate|certs|ssl_cert|ssl_certfile|ssl_certificate|tls_cert_file|\
         tls_certificate|tls_certs",
        Alias::Called("tls_cert"),
    ),
    (
        "keyfile|private_key|ssl_certificate_key|ssl_key|ssl_keyfile|tls_key_file|\
         tls_private_key",
        Alias::Called("tls_key"),
    ),
    ("alpn|alpn_protocols", Alias::Called("tls_alpn")),
    (
        "ca_cert|ca_certs|ca_file|client_ca|ssl_ca|ssl_ca_certs|ssl_client_certificate|tls_ca|\
         tls_client_ca_file|tls_client_cert|tls_client_certificate",
        Alias::Called("tls_client_ca"),
    ),
    (
        "https|https_port|ssl|tls|tls_listen|tls_port",
        Alias::Instead(
            "write 'tls://' before the host in `listen`, as in \"https=tls://0.0.0.0:443\", and set `tls_cert` and \
             `tls_key`",
        ),
    ),
    (
        "ssl_ciphers|ssl_protocols|ssl_version|tls_version",
        Alias::Instead(
            "versions and ciphers are the defaults of rustls; for others, take a plain `Listener` and configure TLS in \
             `main`",
        ),
    ),
    (
        "preload|preload_app",
        Alias::Instead("not supported: each worker executes the program from its beginning"),
    ),
    (
        "max_requests|max_requests_jitter",
        Alias::Instead("not supported: a worker runs until it exits or the master stops"),
    ),
    (
        "daemon|daemonize",
        Alias::Instead("not supported: the master stays in the foreground"),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Row;
    use crate::suggest::{Hint, hint};

    #[test]
    fn names_of_other_servers_are_found_in_any_case() {
        for (word, name) in [
            ("addr", "listen"),
            ("Bind", "listen"),
            ("processes", "workers"),
            ("NUM_WORKERS", "workers"),
            ("worker-processes", "workers"),
            ("ssl_certfile", "tls_cert"),
            ("graceful_timeout", "shutdown_grace_period"),
            ("worker_threads", "runtime_threads"),
            ("worker_cpu_affinity", "pin_cpus"),
            ("max_restarts", "recover_threshold"),
            ("CommandProducer", "child_producer"),
        ] {
            assert_eq!(find(word), Some(Alias::Called(name)), "{word}");
        }
        for word in ["timeout", "port", "preload"] {
            assert!(matches!(find(word), Some(Alias::Instead(_))), "{word}");
        }
        assert_eq!(find("color"), None);
    }

    /// A hook of another process or time, or a limit of something else, must not be suggested.
    #[test]
    fn names_with_another_meaning_are_explained() {
        let names = || crate::TABLE.iter().map(|row| row.name);
        for (word, text) in [
            ("on_worker_death", "`on_child_recover` is called after"),
            ("on_child_death", "`on_child_recover` is called after"),
            ("on_master_start", "`init` is called first"),
            ("on_master_stop", "no hook is called when the master stops"),
            ("on_master_exit", "no hook is called when the master stops"),
            ("read_timeout", "limit connections and requests"),
            ("header_timeout", "limit connections and requests"),
            ("tls_port", "write 'tls://' before the host in `listen`"),
        ] {
            let Some(Hint::Explain(found)) = hint(word, names()) else {
                panic!("{word}: {:?}", hint(word, names()));
            };
            assert!(found.starts_with(text), "{word}: {found}");
        }
    }

    /// An alias that is an option is never looked up, and a duplicate would have two meanings. If
    /// an option is removed, its aliases must be removed too.
    #[test]
    fn aliases_are_unique_and_lead_to_options() {
        let expansion = ["crate", "runtime"];
        let mut seen: Vec<&str> = Vec::new();
        for (names, alias) in ALIASES {
            for name in names.split('|') {
                assert!(seen.iter().all(|other| !is_same(name, other)), "{name}");
                assert!(
                    crate::TABLE.iter().all(|row| !is_same(name, row.name)),
                    "{name}"
                );
                seen.push(name);
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
