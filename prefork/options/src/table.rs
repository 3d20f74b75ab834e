//! The one table of options.
//!
//! A new option is a row here; from it follow the attribute's key, the builder's setter and the environment variable.
//! The table knows names, kinds and words for people; it does not know types or values of the runtime.

/// Hands the rows of the table to a macro.
///
/// `options! { callback first second }` becomes `callback! { first second values { rows… } code { rows… } }`, where the
/// tokens after the name are optional. A row of `values`, an option that is text in the environment, reads
///
/// ```text
/// #[doc = " One line of the setter's documentation."]
/// #[doc = " Another one."]
/// name: kind { env: "PREFORK_NAME", feature: "name", default: "text for people", unit: "text", since: "0.1.0", example: "a value" }
/// ```
///
/// where `unit` may be missing, `feature` where it needs none, `env` where the environment is read too late for it, and
/// the kinds are those of [`Kind`](crate::Kind), in lower case. The example is an expression that attribute and setter
/// take; the documentation shows it, and compiles it. A row of `code`, an option that is a function, has neither kind,
/// `env`, `unit` nor `example`, and a setter that the runtime writes by hand.
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
                /// The addresses to listen on, each bound by the master before the first child starts.
                ///
                /// An address is `host:port`; the host may be an IPv4 address, an IPv6 address in brackets, a host name,
                /// or missing for all IPv4 interfaces; port 0 lets the system choose. With `name=` in front (`a` to `z`,
                /// `0` to `9`, `_`) a listener goes to the argument of `main` that is called so, and to no other; unnamed
                /// ones go to the rest of the arguments, in order, and are called `listener0`, `listener1`, … by their
                /// places.
                ///
                /// A link-local IPv6 address has a zone, the name or the number of an interface: `[fe80::1%eth0]:8080`. The
                /// interface is looked up at the start, and logs show its number. An IPv4-mapped IPv6 address
                /// (`[::ffff:127.0.0.1]:8080`) is the IPv4 address that it contains.
                ///
                /// Both families are served at one port: `0.0.0.0:8080` and `[::]:8080` stand beside each other, since beside
                /// an IPv4 listener of the same port `[::]` takes IPv6 alone. Two addresses of one family and port are
                /// refused before anything is bound if they are equal, or if one covers the other, as `0.0.0.0:8080` covers
                /// `127.0.0.1:8080`; host names are compared after they are resolved. Port 0 never collides.
                ///
                /// A port has one owner: if another process listens there, the start waits for a second and then fails with
                /// status 69, also if two masters start in the same moment.
                ///
                /// With `tls://` before the host, behind the name, who connects there is to speak TLS (feature `tls`): `main` takes
                /// it as a `TlsListener`. It is a part of the address: an operator who changes the port says it again.
                ///
                /// `host` without a port (`:` for all interfaces) leaves the port to the variable `PORT`, and is refused
                /// at the start where that is not set.
                ///
                /// Several in one text have commas between them. Where each in the environment is called like one that
                /// the program declares, as in `PREFORK_LISTEN=http=:8081`, they take the places of those and the others
                /// stay; with any other name, or an address without one, they replace the list.
                listen: addresses {
                    env: "PREFORK_LISTEN",
                    default: "no listener",
                    since: "0.1.0",
                    example: ["http=0.0.0.0:8080", "admin=127.0.0.1:9000"]
                }

                /// The family of the addresses: `"tcp4"`, `"tcp6"`, or `"tcp"` for whichever a name has.
                ///
                /// Unsaid, an IP address says its own family; host names and missing hosts are IPv4. With `"tcp6"` a
                /// missing host means all IPv6 interfaces, and these do not take IPv4 as well. With `"tcp"` a missing host
                /// means all interfaces of both families, and a host name its first address. Beside an IPv4 listener of the
                /// same port a missing host and `[::]` take IPv6 alone, whatever is set here. `[::]` without this option takes
                /// IPv4 as well if the system says so (`net.ipv6.bindv6only`).
                network: network {
                    env: "PREFORK_NETWORK",
                    default: "what the address says",
                    since: "0.1.0",
                    example: "tcp6"
                }

                /// Whether every worker has a listening socket of its own for each address (`SO_REUSEPORT`, socket(7)).
                ///
                /// The kernel then spreads connections by a hash, evenly, and wakes one worker for each; a worker that
                /// stalls lets those wait that fell to it. Without it all share one socket, and whoever is free accepts. In
                /// both cases the master owns the sockets, and a connection that waits survives its worker.
                reuseport: flag {
                    env: "PREFORK_REUSEPORT",
                    default: "`false`",
                    since: "0.1.0",
                    example: true
                }

                /// How many workers serve at the same time.
                ///
                /// `"auto"` is one for every CPU that this process may use, `"auto-1"` leaves one of them to others, `"50%"`
                /// is that share of them, rounded; none of these is ever less than one. 0 is single mode: one process
                /// without a master, for debuggers and profilers.
                workers: workers {
                    env: "PREFORK_WORKERS",
                    default: "`\"auto\"`",
                    unit: "workers",
                    since: "0.1.0",
                    example: "auto-1"
                }

                /// How many unexpected exits of workers are recovered within the `recover_window`; one more ends the master,
                /// and with it the rest of the workers.
                ///
                /// An exit is counted when its replacement is due: after `on_master_ready` has returned, and after
                /// `recover_interval` and the back-off. Then either the replacement is started and its hooks are called,
                /// or the master ends. Of workers that die together each is counted in turn. The end of `main` is an exit
                /// as well, also if the process goes on, and so are clean exits and failed starts. With 0 the first exit
                /// ends the master.
                recover_threshold: count {
                    env: "PREFORK_RECOVER_THRESHOLD",
                    default: "the larger of 8 and the number of workers",
                    unit: "exits",
                    since: "0.1.0",
                    example: 8
                }

                /// How long an exit is remembered for the `recover_threshold`; `"forever"` counts over the master's whole
                /// life.
                ///
                /// The window slides: exits that are older do not count. Until a worker of this master was healthy for the
                /// first time none is forgotten, so that a program that never works ends its master, however long each
                /// attempt takes. `"0s"` forgets everything at once, except what happens in the same moment.
                recover_window: window {
                    env: "PREFORK_RECOVER_WINDOW",
                    default: "`\"1m\"`",
                    unit: "h, m, s, ms",
                    since: "0.1.0",
                    example: "forever"
                }

                /// How long the master waits before it replaces a worker that ended.
                ///
                /// Each slot waits for itself, in parallel; a stop ends the
                /// wait. With `"0s"` a worker that was well is replaced at once. One that was not waits longer each time,
                /// whatever is said here: from 100 ms to 5 s.
                recover_interval: duration {
                    env: "PREFORK_RECOVER_INTERVAL",
                    default: "`\"0s\"`",
                    unit: "h, m, s, ms",
                    since: "0.1.0",
                    example: "250ms"
                }

                /// How long a worker must have lived to count as well, where it cannot be seen that it is ready.
                ///
                /// That is so with raw listeners, without listeners, and for foreign programs. Death after that is followed
                /// by a replacement at once. With `"0s"` every death is, and only the `recover_threshold` limits how often.
                healthy_after: duration {
                    env: "PREFORK_HEALTHY_AFTER",
                    default: "`\"1s\"`",
                    unit: "h, m, s, ms",
                    since: "0.1.0",
                    example: "2s"
                }

                /// How long a worker may take from its start until it is ready, where that can be seen.
                ///
                /// It is ready at its first accept on our listener, or when it says so by `ready()`. One that is late is
                /// killed, and replaced as if it had died. With `"0s"` there is no limit.
                ready_timeout: duration {
                    env: "PREFORK_READY_TIMEOUT",
                    default: "`\"30s\"`",
                    unit: "h, m, s, ms",
                    since: "0.1.0",
                    example: "1m30s"
                }

                /// How long a worker that was asked to stop may take to finish its requests, before it is killed.
                ///
                /// The whole stop keeps within this one budget. With `"0s"` workers are killed at once.
                shutdown_grace_period: duration {
                    env: "PREFORK_SHUTDOWN_GRACE_PERIOD",
                    default: "`\"5s\"`",
                    unit: "h, m, s, ms",
                    since: "0.1.0",
                    example: "30s"
                }

                /// What the names of the environment's variables begin with.
                ///
                /// It is for programs whose operators need not know what these are made with: with `"MYAPP"` there are
                /// `MYAPP_WORKERS` and `MYAPP_EXPLAIN`, and nothing that begins with `PREFORK_` is an option any more.
                /// The variables that make a process a worker keep their names. Those of the program that begin in the
                /// same way are let be, unless one letter makes an option of them.
                env_prefix: prefix {
                    default: "`\"PREFORK\"`",
                    since: "0.1.0",
                    example: "MYAPP"
                }

                /// How many threads the tokio runtime of each worker has, for an async body without another runtime.
                ///
                /// With 1 it is the current-thread runtime: a worker per CPU needs no more. With more it is the
                /// multi-thread runtime with as many worker threads, for bodies whose tasks hold each other up. For a body
                /// that is not async, or that brings its runtime (`#[tokio::main]`, `runtime = path`), it is an error in the
                /// attribute, and ignored with a line elsewhere; in a builder without feature `tokio` it is an error.
                runtime_threads: threads {
                    env: "PREFORK_RUNTIME_THREADS",
                    default: "`1`",
                    unit: "threads",
                    since: "0.1.0",
                    example: 4
                }

                /// The certificates that servers of TLS show: the server's own first, then those that lead to a root.
                ///
                /// PEM, as the path of a file or as bytes such as `include_bytes!("server.pem")`. The master reads and checks
                /// them, together with the `tls_key`, before it starts the first worker and again for each later one: what
                /// lies on disk then is what the new worker shows, so that a renewal needs no restart of the master. A bad new
                /// pair is refused with a line in the log, and the last good one serves on. Workers need no right to read the
                /// files. Which listeners speak TLS their addresses say: `tls://0.0.0.0:443`.
                tls_cert: pem {
                    env: "PREFORK_TLS_CERT",
                    feature: "tls",
                    default: "no certificate",
                    since: "0.1.0",
                    example: "/etc/ssl/server.pem"
                }

                /// The private key of the `tls_cert`: PEM (PKCS #8, PKCS #1 or SEC1), not encrypted, as a path or as bytes.
                ///
                /// Nothing of it is ever shown, neither in errors nor in an explanation.
                tls_key: pem {
                    env: "PREFORK_TLS_KEY",
                    feature: "tls",
                    default: "no key",
                    since: "0.1.0",
                    example: "/etc/ssl/private/server.key"
                }

                /// The protocols that may be spoken over TLS, the preferred one first (ALPN, RFC 7301).
                ///
                /// `"h2,http/1.1"` is for servers that speak both. A client that offers some, and none of these, is refused.
                /// Unsaid, what clients offer is passed over, and those of the web speak HTTP/1.1. The environment's names have
                /// commas between them, and replace the list.
                tls_alpn: protocols {
                    env: "PREFORK_TLS_ALPN",
                    feature: "tls",
                    default: "none",
                    since: "0.1.0",
                    example: ["h2", "http/1.1"]
                }

                /// The authorities whose certificates clients must show (mutual TLS); PEM, as a path or as bytes.
                ///
                /// A client without a certificate of one of them is refused in the handshake, also one that was here before:
                /// its sessions do not resume. It is read and checked together with the `tls_cert`.
                tls_client_ca: pem {
                    env: "PREFORK_TLS_CLIENT_CA",
                    feature: "tls",
                    default: "clients show no certificate",
                    since: "0.1.0",
                    example: "/etc/ssl/clients.pem"
                }
            }

            code {
                /// Sees the options last, in the master, and may change them.
                configure { default: "nothing", since: "0.1.0" }

                /// Called first in every process, the master and the workers.
                init { default: "nothing", since: "0.1.0" }

                /// Called in the master after every start of a child, the first and later ones.
                on_child_spawn { default: "nothing", since: "0.1.0" }

                /// Called in the master once, when every slot's first child was started.
                on_master_ready { default: "nothing", since: "0.1.0" }

                /// Called in the master after a child that ended was replaced.
                on_child_recover { default: "nothing", since: "0.1.0" }

                /// Called in a worker when its master died.
                on_master_death { default: "nothing", since: "0.1.0" }

                /// May alter how a child is started.
                child_producer { default: "this program, started again", since: "0.1.0" }

                /// Takes the master's lines.
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
