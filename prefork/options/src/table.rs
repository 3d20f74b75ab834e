//! The table of options.
//!
//! Each row is an option. The key of the attribute, the setter of the builder and the environment
//! variable follow from the row. The table contains names, kinds and documentation; it does not
//! know the types and values of the runtime.

/// Passes the rows of the table to a macro.
///
/// `options! { callback first second }` expands to
/// `callback! { first second values { rows… } code { rows… } }`. The tokens after the name are
/// optional.
///
/// A row of `values` is an option that the environment can set as text:
///
/// ```text
/// #[doc = " One line of the setter's documentation."]
/// #[doc = " Another one."]
/// name: kind { env: "PREFORK_NAME", feature: "name", default: "for documentation", unit: "text", since: "0.1.0", example: "a value" }
/// ```
///
/// - `kind` is a variant of [`Kind`](crate::Kind) in lower case.
/// - `env` is missing if the environment is read too late for the option.
/// - `feature` is missing if the option needs no feature, `unit` if it has no unit.
/// - `example` is an expression that attribute and setter accept. The documentation shows and
///   compiles it.
///
/// A row of `code` is an option that is a function. It has no `kind`, `env`, `unit` and `example`.
/// The runtime contains its setter, written by hand.
///
/// # Examples
///
/// ```
/// macro_rules! names {
///     (
///         values { $( $(#[doc = $doc:expr])* $name:ident : $kind:ident {
///             $(env: $env:literal,)? $(feature: $feature:literal,)? default: $default:literal, $(unit: $unit:literal,)?
///             since: $since:literal,
///             example: $example:expr
///         } )* }
///         code { $( $(#[doc = $code_doc:expr])* $code:ident { default: $code_default:literal, since: $code_since:literal } )* }
///     ) => { [$(stringify!($name),)* $(stringify!($code)),*] };
/// }
/// assert!(prefork_options::options! { names }.contains(&"workers"));
/// ```
#[macro_export]
macro_rules! options {
    ($then:ident $($first:tt)*) => {
        $then! {
            $($first)*

            values {
                /// The addresses to listen on. The master binds them before it starts a worker.
                ///
                /// An address is `host:port`. The host is an IPv4 address, an IPv6 address in
                /// brackets, a host name, or empty for all IPv4 interfaces. With port 0 the system
                /// chooses the port. In a single text, commas separate the addresses.
                ///
                /// An address can have a name in front, as in `http=0.0.0.0:8080`, made of `a` to
                /// `z`, `0` to `9` and `_`. A listener with a name goes to the argument of `main`
                /// with the same name, and to no other argument. Listeners without a name go to the
                /// other arguments in order. They are called `listener0`, `listener1`, … by their
                /// index in the list.
                ///
                /// With `tls://` before the host, and after the name, clients must speak TLS
                /// (feature `tls`), and `main` takes the listener as a `TlsListener`. The scheme is
                /// part of the address: repeat it if you override the port, as in
                /// `PREFORK_LISTEN=https=tls://:8443`.
                ///
                /// A host without a port (`0.0.0.0`, or `:` for all interfaces) takes the port from
                /// the variable `PORT`. If `PORT` is not set, the start fails.
                ///
                /// `PREFORK_LISTEN` replaces the whole list, with one exception: if each of its
                /// addresses has the name of an address that the program declares, as in
                /// `PREFORK_LISTEN=http=:8081`, only those are replaced.
                ///
                /// One port can serve both families: `0.0.0.0:8080` and `[::]:8080` can be in one
                /// list, because `[::]` does not accept IPv4 if an IPv4 listener has the same port.
                ///
                /// A link-local IPv6 address needs a zone, the name or the number of an interface:
                /// `[fe80::1%eth0]:8080`. The interface is looked up at the start, and logs show
                /// its number. An IPv4-mapped IPv6 address (`[::ffff:127.0.0.1]:8080`) is the IPv4
                /// address that it contains.
                ///
                /// Two addresses with the same family and port are rejected before anything is
                /// bound if they are equal, or if one covers the other, as `0.0.0.0:8080` covers
                /// `127.0.0.1:8080`. Host names are compared after they were resolved. Port 0 never
                /// conflicts.
                ///
                /// Only one process can own a port. If another process listens on it, the start
                /// tries for one second and then fails with status 69. This is also the case if two
                /// masters start at the same moment.
                listen: addresses {
                    env: "PREFORK_LISTEN",
                    default: "no listener",
                    since: "0.1.0",
                    example: ["http=0.0.0.0:8080", "admin=127.0.0.1:9000"]
                }

                /// The address family of all listeners: `"tcp4"`, `"tcp6"`, or `"tcp"` for both.
                ///
                /// | value | an empty host is | a host name is |
                /// |---|---|---|
                /// | not set, `"tcp4"` | all IPv4 interfaces | its first IPv4 address |
                /// | `"tcp6"` | all IPv6 interfaces, without IPv4 | its first IPv6 address |
                /// | `"tcp"` | all interfaces of both families | its first address |
                ///
                /// An IP address has its own family; with `"tcp4"` or `"tcp6"`, an IP address of
                /// the other family is rejected. If an IPv4 listener has the same port, an empty
                /// host and `[::]` do not accept IPv4, whatever this option is set to. If this
                /// option is not set, `[::]` accepts IPv4 too where the system allows it
                /// (`net.ipv6.bindv6only`).
                network: network {
                    env: "PREFORK_NETWORK",
                    default: "family of the address",
                    since: "0.1.0",
                    example: "tcp6"
                }

                /// Whether each worker has its own listening sockets (`SO_REUSEPORT`, socket(7)).
                ///
                /// With `true`, the kernel distributes connections evenly by a hash and wakes one
                /// worker for each. Connections that were assigned to a stalled worker wait for it.
                /// With `false`, all workers share one socket per address, and any free worker
                /// accepts. In both cases the master owns the sockets: a connection that waits to
                /// be accepted survives the exit of a worker.
                reuseport: flag {
                    env: "PREFORK_REUSEPORT",
                    default: "`false`",
                    since: "0.1.0",
                    example: true
                }

                /// The number of workers that serve at the same time.
                ///
                /// `"auto"` is one worker per CPU that the process may use. `"auto-1"` leaves one
                /// CPU to other programs. `"50%"` is half as many workers as CPUs, rounded. Each of
                /// these is at least one worker.
                ///
                /// 0 is single-process mode: one process serves without a master, for debuggers and
                /// profilers.
                workers: workers {
                    env: "PREFORK_WORKERS",
                    default: "`\"auto\"`",
                    unit: "workers",
                    since: "0.1.0",
                    example: "auto-1"
                }

                /// How many unexpected exits are recovered within `recover_window`.
                ///
                /// One more exit ends the master, which stops the other workers. With 0, the first
                /// exit ends it.
                ///
                /// The end of `main` counts as an exit, even if the process continues to run. Exits
                /// with status 0 and failed starts count too. If several workers exit at once, each
                /// exit is counted in turn.
                ///
                /// An exit is counted when its replacement is due: after `on_master_ready` has
                /// returned, and after `recover_interval` and the back-off. At that time the master
                /// either starts the replacement and calls its hooks, or ends.
                recover_threshold: count {
                    env: "PREFORK_RECOVER_THRESHOLD",
                    default: "the larger of 8 and the number of workers",
                    unit: "exits",
                    since: "0.1.0",
                    example: 8
                }

                /// How long an exit counts towards `recover_threshold`.
                ///
                /// The window slides: older exits do not count. With `"forever"`, all exits in the
                /// life of the master count. With `"0s"`, only exits that are counted at the same
                /// moment count together.
                ///
                /// Until the first worker of this master is healthy, all exits count. A program
                /// that never works therefore ends its master, however long each attempt takes.
                recover_window: window {
                    env: "PREFORK_RECOVER_WINDOW",
                    default: "`\"1m\"`",
                    unit: "h, m, s, ms",
                    since: "0.1.0",
                    example: "forever"
                }

                /// How long the master waits before it replaces a worker that exited.
                ///
                /// Each slot waits independently, and a stop ends the wait. With `"0s"`, a worker
                /// that was healthy is replaced at once. If a worker exits before it is healthy,
                /// the master waits longer: a back-off, which grows from 100 ms to 5 s with each
                /// such exit of the slot, is added to this interval.
                recover_interval: duration {
                    env: "PREFORK_RECOVER_INTERVAL",
                    default: "`\"0s\"`",
                    unit: "h, m, s, ms",
                    since: "0.1.0",
                    example: "250ms"
                }

                /// How long a worker must run to count as healthy, if its readiness is not visible.
                ///
                /// Readiness is not visible with sockets of std or tokio, without listeners, and
                /// for another program that `child_producer` starts. All other workers are healthy
                /// when they are ready, see `ready_timeout`.
                ///
                /// A worker that exits after it was healthy is replaced without a back-off. With
                /// `"0s"`, a worker is healthy from its start: no exit has a back-off, and only
                /// `recover_threshold` limits the exits.
                healthy_after: duration {
                    env: "PREFORK_HEALTHY_AFTER",
                    default: "`\"1s\"`",
                    unit: "h, m, s, ms",
                    since: "0.1.0",
                    example: "2s"
                }

                /// How long a worker may take from its start until it is ready.
                ///
                /// A worker is ready at its first accept on a `Listener`, or when it calls
                /// `ready()`. A worker that is late is killed, and then replaced as if it had
                /// crashed. With `"0s"` there is no limit. If readiness is not visible,
                /// `healthy_after` applies instead.
                ready_timeout: duration {
                    env: "PREFORK_READY_TIMEOUT",
                    default: "`\"30s\"`",
                    unit: "h, m, s, ms",
                    since: "0.1.0",
                    example: "1m30s"
                }

                /// How long workers may take to finish their requests after a stop was requested.
                ///
                /// Workers that still run after this time are killed. It is one limit for the whole
                /// stop, not for each worker. With `"0s"`, workers are killed at once.
                shutdown_grace_period: duration {
                    env: "PREFORK_SHUTDOWN_GRACE_PERIOD",
                    default: "`\"5s\"`",
                    unit: "h, m, s, ms",
                    since: "0.1.0",
                    example: "30s"
                }

                /// The prefix of the environment variables that set options.
                ///
                /// With `"MYAPP"` the variables are `MYAPP_WORKERS`, `MYAPP_EXPLAIN` and so on, and
                /// variables that begin with `PREFORK_` set no options. The variables that a master
                /// sets for its workers keep their names.
                ///
                /// Other variables with this prefix are ignored unless they are one typo away from
                /// an option.
                env_prefix: prefix {
                    default: "`\"PREFORK\"`",
                    since: "0.1.0",
                    example: "MYAPP"
                }

                /// How many threads the tokio runtime of each worker has, for an async `main`.
                ///
                /// With 1 it is the current-thread runtime, which is enough if there is one worker
                /// per CPU. With more it is the multi-thread runtime with this number of worker
                /// threads, for programs whose tasks block each other.
                ///
                /// If `main` is not async, or brings its own runtime (`#[tokio::main]`,
                /// `runtime = path`), this option is an error in the attribute; set elsewhere, it
                /// is ignored with a log line. In a builder without feature `tokio` it is an error.
                runtime_threads: threads {
                    env: "PREFORK_RUNTIME_THREADS",
                    default: "`1`",
                    unit: "threads",
                    since: "0.1.0",
                    example: 4
                }

                /// The certificate chain of TLS listeners: the server's certificate first.
                ///
                /// The intermediate certificates follow. The value is PEM: the path of a file, or
                /// bytes such as `include_bytes!("server.pem")`. The addresses decide which
                /// listeners use TLS, as in `tls://0.0.0.0:443`.
                ///
                /// The master reads and checks the certificates together with `tls_key` before it
                /// starts the first worker, and again before each later start. A new worker uses
                /// what is on disk at that time, so a renewal needs no restart of the master. If
                /// the new pair is invalid, the master logs a line and keeps using the last valid
                /// pair. Workers need no permission to read the files.
                tls_cert: pem {
                    env: "PREFORK_TLS_CERT",
                    feature: "tls",
                    default: "no certificate",
                    since: "0.1.0",
                    example: "/etc/ssl/server.pem"
                }

                /// The private key of `tls_cert`.
                ///
                /// The value is PEM (PKCS #8, PKCS #1 or SEC1, not encrypted), as a path or as
                /// bytes. Errors, log lines and `PREFORK_EXPLAIN` never show any part of the key.
                tls_key: pem {
                    env: "PREFORK_TLS_KEY",
                    feature: "tls",
                    default: "no key",
                    since: "0.1.0",
                    example: "/etc/ssl/private/server.key"
                }

                /// The application protocols for TLS, the preferred one first (ALPN, RFC 7301).
                ///
                /// Set `"h2,http/1.1"` for a server that supports both. A client that offers
                /// protocols, but none of these, is rejected. If this option is not set, the offers
                /// of clients are ignored, and web clients use HTTP/1.1. The environment variable
                /// separates names with commas and replaces the list.
                tls_alpn: protocols {
                    env: "PREFORK_TLS_ALPN",
                    feature: "tls",
                    default: "none",
                    since: "0.1.0",
                    example: ["h2", "http/1.1"]
                }

                /// The CA certificates that client certificates must be signed by (mutual TLS).
                ///
                /// The value is PEM, as a path or as bytes. The master reads and checks it together
                /// with `tls_cert`. A client without a certificate from one of these CAs is
                /// rejected in the handshake. This includes clients with an older session: it is
                /// not resumed.
                tls_client_ca: pem {
                    env: "PREFORK_TLS_CLIENT_CA",
                    feature: "tls",
                    default: "no client certificates",
                    since: "0.1.0",
                    example: "/etc/ssl/clients.pem"
                }
            }

            code {
                /// Called in the master with all options, which it may change.
                configure { default: "nothing", since: "0.1.0" }

                /// Called first in every process: in the master and in each worker.
                init { default: "nothing", since: "0.1.0" }

                /// Called in the master after each start of a worker.
                on_child_spawn { default: "nothing", since: "0.1.0" }

                /// Called once in the master, after the first worker of every slot was started.
                on_master_ready { default: "nothing", since: "0.1.0" }

                /// Called in the master after a worker that exited was replaced.
                on_child_recover { default: "nothing", since: "0.1.0" }

                /// Called in a worker after its master died.
                on_master_death { default: "nothing", since: "0.1.0" }

                /// Edits the command that starts a worker.
                child_producer { default: "this program, started again", since: "0.1.0" }

                /// Receives the log lines of the master.
                logger { default: "stderr", since: "0.1.0" }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use crate::TABLE;

    #[test]
    fn a_macro_gets_its_own_tokens_before_the_rows() {
        macro_rules! rows_behind {
            (
                first second
                values { $( $(#[doc = $doc:expr])* $name:ident : $kind:ident { $($rest:tt)* } )* }
                code { $( $(#[doc = $code_doc:expr])* $code:ident { $($code_rest:tt)* } )* }
            ) => {
                [$(stringify!($name),)* $(stringify!($code)),*]
            };
        }

        assert_eq!(options! { rows_behind first second }.len(), TABLE.len());
    }
}
