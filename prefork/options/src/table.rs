//! The table of options.
//!
//! Each row is an option. The key of the attribute, the setter of the builder and the environment
//! variable follow from the row. The table names the type of each option; its grammar is in the file
//! of the type.

/// Passes the rows of the table to a macro.
///
/// `options! { callback first second }` expands to
/// `callback! { first second values { rows… } code { rows… } }`. The tokens after the name are
/// optional.
///
/// A row of `values` is an option that the environment can set as text:
///
/// ```text
/// /// One line of the setter's documentation.
/// /// Another one.
/// name: Type {
///     env: "PREFORK_NAME",
///     /// An addition to the getter's documentation.
///     getter: get_name -> GetterType,
///     feature: "name",
///     default: value "`text`",
///     unit: "text",
///     since: "0.1.0",
///     example: "a value"
/// }
/// ```
///
/// - `Type` implements [`OptionValue`](crate::OptionValue).
/// - `env` and `getter` are missing if the environment is read too late for the option. The type of
///   the getter is `Type`, or one that it can be converted to (`From`).
/// - `feature` is missing if the option needs no feature, `unit` if it has no unit.
/// - `default` is a text for the documentation. Before it stands how the runtime gets the value:
///   - `value`: the text contains it, between back quotes.
///   - `none`: there is none, so the value in the configuration is an `Option`.
///   - `computed(T)`: it depends on other options. The value in the configuration is a `T`, which
///     the resolution of the options sets.
/// - `example` is an expression that attribute and setter accept. The documentation shows and
///   compiles it.
///
/// A row of `code` is an option that is a function. It has no type, `env`, `unit` and `example`.
/// The runtime contains its setter, written by hand.
///
/// # Examples
///
/// ```
/// macro_rules! names {
///     (
///         values { $( $(#[doc = $doc:expr])* $name:ident : $kind:ty { $($row:tt)* } )* }
///         code { $( $(#[doc = $code_doc:expr])* $code:ident { $($code_row:tt)* } )* }
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
                /// Sets the addresses to listen on.
                ///
                /// The master binds them before it starts a worker.
                ///
                /// An address is `host:port`. The host is an IPv4 address, an IPv6 address in
                /// brackets, a host name, or empty for all IPv4 interfaces. With port 0 the system
                /// chooses the port. In a single text, commas separate the addresses.
                ///
                /// A host name listens at all of its addresses, of both families unless `network` or
                /// the scheme chooses one. They have one port, also with port 0, and are one
                /// listener. An IPv6 address that the machine does not have is left out with a
                /// warning, if there is another address. What is one socket needs a name with one
                /// address: a `TcpListener` of std or tokio, or a `UdpSocket`. `main` takes any name
                /// as a `net::Listener` or `TlsListener`.
                ///
                /// An address can begin with a name, as in `http=0.0.0.0:8080`. A name consists of
                /// `a` to `z`, `0` to `9` and `_`. A listener with a name goes to the argument of
                /// `main` with the same name, and to no other argument. Listeners without a name go
                /// to the other arguments in order. They are called `listener0`, `listener1`, … by
                /// their index in the list.
                ///
                /// Other kinds of sockets have a scheme:
                ///
                /// | address | socket |
                /// |---|---|
                /// | `tcp4://host:port`, `tcp6://host:port` | TCP over IPv4 or IPv6 only, with any `network` |
                /// | `unix:/run/app.sock`, `unix:@app` | a unix socket with a file, or with an abstract name |
                /// | `udp://host:port`, `unixgram:/run/app.sock` | datagrams, which `main` takes as a `UdpSocket` or `UnixDatagram` |
                /// | `fd:3`, `udp://fd:3` | an open descriptor that the process inherited |
                ///
                /// Options of one listener follow `?`, separated by `&`. `backlog`, `v6only` and
                /// `nodelay` are the options of these names. The file of a unix socket has
                /// `mode=0660`, `owner=name` and `group=name`; if they are not set, the umask and the
                /// process decide. A path contains no `?`, comma or white space.
                ///
                /// The master replaces the file of a server that no longer runs, never that of a
                /// running one, and removes its own file at the end.
                ///
                /// If the host has the prefix `tls://`, as in `https=tls://0.0.0.0:443`, clients
                /// must use TLS (feature `tls`), and `main` takes the listener as a `TlsListener`.
                /// The prefix is part of the address: repeat it if you override the port, as in
                /// `PREFORK_LISTEN=https=tls://:8443`.
                ///
                /// A host without a port (`0.0.0.0`, or `:` for all interfaces) takes the port from
                /// the variable `PORT`. If `PORT` is not set, the start fails.
                ///
                /// `PREFORK_LISTEN` replaces the whole list, with one exception: if each of its
                /// addresses has the name of an address that the program declares, as in
                /// `PREFORK_LISTEN=http=:8081`, it replaces only these addresses.
                ///
                /// One port can serve both families: `0.0.0.0:8080` and `[::]:8080` can be in one
                /// list, because `[::]` does not accept IPv4 if an IPv4 listener has the same port.
                ///
                /// A link-local IPv6 address needs a zone, which is the name or the number of an
                /// interface: `[fe80::1%eth0]:8080`. The master looks up the interface at the
                /// start, and logs show its number. An IPv4-mapped IPv6 address
                /// (`[::ffff:127.0.0.1]:8080`) counts as the IPv4 address that it contains.
                ///
                /// Two addresses with the same family and port are rejected before anything is
                /// bound, if they are equal or if one covers the other: `0.0.0.0:8080` covers
                /// `127.0.0.1:8080`. Host names are compared after they were resolved. Port 0 never
                /// conflicts.
                ///
                /// Only one process can own a port. If another process listens on it, the master
                /// retries for one second, then the start fails with status 69. The same happens to
                /// one of two masters that start at the same moment.
                listen: ::std::vec::Vec<$crate::Address> {
                    env: "PREFORK_LISTEN",
                    /// Each address is `name=host:port`, with `tls://` before the host if the listener uses
                    /// TLS. A port that is still missing is 0.
                    getter: get_listen -> Vec<String>,
                    default: computed(Vec<ListenSpec>) "no listener",
                    since: "0.1.0",
                    example: ["http=0.0.0.0:8080", "admin=127.0.0.1:9000"]
                }

                /// Sets the address family of all listeners: `"tcp4"`, `"tcp6"`, or `"tcp"` for
                /// both.
                ///
                /// | value | an empty host is | a host name is |
                /// |---|---|---|
                /// | not set | all IPv4 interfaces | all its addresses |
                /// | `"tcp4"` | all IPv4 interfaces | its IPv4 addresses |
                /// | `"tcp6"` | all IPv6 interfaces, without IPv4 | its IPv6 addresses |
                /// | `"tcp"` | all interfaces of both families | all its addresses |
                ///
                /// An IP address has its own family; with `"tcp4"` or `"tcp6"`, an IP address of
                /// the other family is rejected. If an IPv4 listener has the same port, an empty
                /// host and `[::]` do not accept IPv4, with any value of this option. If this
                /// option is not set, `[::]` accepts IPv4 too where the system allows it
                /// (`net.ipv6.bindv6only`).
                network: $crate::Network {
                    env: "PREFORK_NETWORK",
                    /// `None` means that each address has its own family.
                    getter: get_network -> Option<String>,
                    default: none "family of the address",
                    since: "0.1.0",
                    example: "tcp6"
                }

                /// Sets the length of the accept queue of each stream listener, in connections.
                ///
                /// The kernel limits it to `net.core.somaxconn` (listen(2)). An address can set its
                /// own, as in `:8080?backlog=64`.
                backlog: u32 {
                    env: "PREFORK_BACKLOG",
                    getter: get_backlog -> u32,
                    default: value "`65535`",
                    unit: "connections",
                    since: "0.1.0",
                    example: 1024
                }

                /// Sets whether IPv6 listeners reject IPv4 (`IPV6_V6ONLY` in ipv6(7)).
                ///
                /// If this option is not set, `network` decides, or the system
                /// (`net.ipv6.bindv6only`). An IPv6 listener never accepts IPv4 if an IPv4 listener
                /// has the same port. An address can set its own, as in `[::]:8080?v6only=false`.
                v6only: bool {
                    env: "PREFORK_V6ONLY",
                    /// `None` means that `network` or the system decides.
                    getter: get_v6only -> Option<bool>,
                    default: none "decided by `network` or the system",
                    since: "0.1.0",
                    example: true
                }

                /// Sets whether the kernel sends small writes without delay (`TCP_NODELAY`).
                ///
                /// It applies to the connections of TCP listeners, which inherit it on Linux. An
                /// address can set its own, as in `:8080?nodelay=true`.
                nodelay: bool {
                    env: "PREFORK_NODELAY",
                    getter: get_nodelay -> bool,
                    default: value "`false`",
                    since: "0.1.0",
                    example: true
                }

                /// Sets how the workers share the TCP sockets that they accept from.
                ///
                /// With `false`, all workers share one socket per address, and any free worker
                /// accepts.
                ///
                /// With a number, each slot has a socket per address (`SO_REUSEPORT`), and the
                /// kernel distributes connections evenly by a hash (socket(7)). The number is how
                /// many workers accept from the socket of a slot: the first ones that serve, from
                /// this slot on. `true` is 2. So a connection does not wait for a worker that is
                /// dead, not ready, or suspended by a signal. It waits if all of these workers are
                /// blocked in user code: with 1, if one is. Until all workers have served, a socket
                /// has only its own worker and those of the next slots.
                ///
                /// With `"auto"`, an async `main` that takes the listener as a `net::Listener` or
                /// `TlsListener` has 2, and all others have `false`: also `Prefork::start`, and a
                /// `main` that takes the listener from a `Worker`. The program that starts the
                /// master decides, also for those of later rollouts. Unix sockets, datagrams and
                /// passed sockets are always shared.
                ///
                /// In all cases the master owns the sockets: a connection that waits to be accepted
                /// survives the exit of a worker. Of a listener that `main` takes as one of std or
                /// tokio, each worker accepts from the socket of its own slot alone. A master that
                /// handles no signals (`Prefork::start`) does not know of suspended workers.
                ///
                /// If slots have sockets of their own, `backlog` is the length of each queue, and
                /// another process of the same user can bind the port, too, with `SO_REUSEPORT`. It
                /// then gets a part of the connections (socket(7)). Another master does not do that.
                reuseport: $crate::Reuseport {
                    env: "PREFORK_REUSEPORT",
                    getter: get_reuseport -> String,
                    default: value "`\"auto\"`",
                    since: "0.1.0",
                    example: true
                }

                /// Sets the number of workers that serve at the same time.
                ///
                /// `"auto"` is one worker per CPU that the process may use. `"auto-1"` leaves one
                /// CPU to other programs. `"50%"` is half as many workers as CPUs, rounded to the
                /// nearest number. Each of these is at least one worker.
                ///
                /// 0 is single-process mode: one process serves without a master, for debuggers and
                /// profilers.
                workers: $crate::Workers {
                    env: "PREFORK_WORKERS",
                    /// 0 means single-process mode.
                    getter: get_workers -> usize,
                    default: computed(usize) "`\"auto\"`",
                    unit: "workers",
                    since: "0.1.0",
                    example: "auto-1"
                }

                /// Sets how many unexpected exits are recovered within `recover_window`.
                ///
                /// The master starts a replacement after each of these exits. If there is one more
                /// exit, the master stops the other workers and ends. With 0, the first exit ends
                /// it.
                ///
                /// The end of `main` counts as an exit, even if the process continues to run. Every
                /// exit outside of a stop counts, also one with status 0. A failed start counts
                /// too. If several workers exit at once, each exit is counted in turn.
                ///
                /// An exit is counted when its replacement is due: after `on_master_ready` has
                /// returned, and after `recover_interval` and the back-off. At that time the master
                /// either starts the replacement and calls its hooks, or ends.
                recover_threshold: u32 {
                    env: "PREFORK_RECOVER_THRESHOLD",
                    getter: get_recover_threshold -> u32,
                    default: computed(u32) "the larger of 8 and the number of workers",
                    unit: "exits",
                    since: "0.1.0",
                    example: 8
                }

                /// Sets how long an exit counts towards `recover_threshold`.
                ///
                /// The window slides: older exits do not count. With `"forever"`, all exits in the
                /// life of the master count. With `"0s"`, only exits that are counted at the same
                /// moment count together.
                ///
                /// Until the first worker of this master is healthy, all exits count. So a program
                /// that never becomes healthy ends its master, however long each attempt takes.
                recover_window: $crate::Window {
                    env: "PREFORK_RECOVER_WINDOW",
                    /// `None` means forever.
                    getter: get_recover_window -> Option<::std::time::Duration>,
                    default: value "`\"1m\"`",
                    unit: "h, m, s, ms",
                    since: "0.1.0",
                    example: "forever"
                }

                /// Sets how long the master waits before it replaces a worker that exited.
                ///
                /// Each slot waits independently, and a stop ends the wait. With `"0s"`, a worker
                /// that was healthy is replaced at once. If a worker exits before it is healthy,
                /// the master adds a back-off to this interval. With each such exit of the slot,
                /// the back-off grows, from 100 ms to 5 s.
                recover_interval: ::std::time::Duration {
                    env: "PREFORK_RECOVER_INTERVAL",
                    getter: get_recover_interval -> ::std::time::Duration,
                    default: value "`\"0s\"`",
                    unit: "h, m, s, ms",
                    since: "0.1.0",
                    example: "250ms"
                }

                /// Sets after what time a worker is healthy if its readiness cannot be observed.
                ///
                /// The master can observe the readiness of a worker if `main` takes a `Listener`, a
                /// `TlsListener` or `Ready`. Such a worker is healthy when it is ready, see
                /// `ready_timeout`. Any other worker, such as one that has only sockets of std or
                /// tokio or runs another program, is healthy after this time, or when it calls
                /// `notify_ready()`.
                ///
                /// A worker that exits after it was healthy is replaced without a back-off. With
                /// `"0s"`, a worker to which this time applies is healthy from its start: its exits
                /// have no back-off, and only `recover_threshold` limits them.
                healthy_after: ::std::time::Duration {
                    env: "PREFORK_HEALTHY_AFTER",
                    getter: get_healthy_after -> ::std::time::Duration,
                    default: value "`\"1s\"`",
                    unit: "h, m, s, ms",
                    since: "0.1.0",
                    example: "2s"
                }

                /// Sets how long a worker may take from its start until it is ready.
                ///
                /// A worker is ready at its first accept on a `Listener`, or when it calls
                /// `notify_ready()`. If it is not ready in time, the master kills it, and replaces it as
                /// after a crash. With `"0s"` there is no limit. If the readiness of a worker
                /// cannot be observed, `healthy_after` applies instead.
                ready_timeout: ::std::time::Duration {
                    env: "PREFORK_READY_TIMEOUT",
                    getter: get_ready_timeout -> ::std::time::Duration,
                    default: value "`\"30s\"`",
                    unit: "h, m, s, ms",
                    since: "0.1.0",
                    example: "1m30s"
                }

                /// Sets how long the workers serve on after a stop was requested.
                ///
                /// A load balancer needs some time to notice that a server stops, and opens
                /// connections until then. With this delay, the workers accept them. Meanwhile
                /// `prefork::is_stopping()` is true in each worker, so that a health check can fail,
                /// and the service manager knows that the server stops. No worker is started any
                /// more. After the delay the stop begins, with the whole
                /// `shutdown_grace_period`.
                ///
                /// A second Ctrl-C kills the workers at once, also during the delay; SIGTERM does not
                /// prolong it. The delay also ends if no worker accepts any more. A stop for another reason, such as too
                /// many exits, and a stop before the master is ready have no delay.
                drain_delay: ::std::time::Duration {
                    env: "PREFORK_DRAIN_DELAY",
                    getter: get_drain_delay -> ::std::time::Duration,
                    default: value "`\"0s\"`",
                    unit: "h, m, s, ms",
                    since: "0.1.0",
                    example: "10s"
                }

                /// Sets how long workers may take to finish their requests in a stop.
                ///
                /// The master kills the workers that still run after this time. It is one limit for
                /// the whole stop, not for each worker. With `"0s"`, workers are killed at once.
                shutdown_grace_period: ::std::time::Duration {
                    env: "PREFORK_SHUTDOWN_GRACE_PERIOD",
                    getter: get_shutdown_grace_period -> ::std::time::Duration,
                    default: value "`\"5s\"`",
                    unit: "h, m, s, ms",
                    since: "0.1.0",
                    example: "30s"
                }

                /// Sets how many standbys wait for the unexpected exit of a worker.
                ///
                /// A standby is a worker that has initialized: it waits in its first accept. If a
                /// worker exits unexpectedly, a ready standby takes its slot at once, without
                /// `recover_interval` and back-off, and the master starts the next standby after
                /// `recover_interval`, at least 20 ms later. So the clients do not wait for the
                /// start of a worker. The first standbys are started when all workers are healthy.
                /// Each standby needs the memory of a worker.
                ///
                /// The exit of a standby counts towards `recover_threshold`, with the back-off of
                /// a worker that was never healthy. After a rollout that was accepted, standbys of
                /// the new program replace those of the old one.
                ///
                /// `main` must take its listeners as `Listener` or `TlsListener`, or take a
                /// `Worker`: nothing holds back the accepts of other listeners. Another `main`,
                /// and `reuseport`, are errors. A `child_producer` must start this program, or
                /// another one that waits in the same way. If that program does not declare that it
                /// waits, no standby is started, and one error is logged. Single-process mode
                /// ignores this option.
                standby: u32 {
                    env: "PREFORK_STANDBY",
                    getter: get_standby -> u32,
                    default: value "`0`",
                    unit: "workers",
                    since: "0.1.0",
                    example: 1
                }

                /// Sets how long kept HTTP connections stay open after a worker was asked to stop.
                ///
                /// It applies only if the server uses `prefork::http::DrainLayer` (feature `http`),
                /// whose responses then contain `Connection: close`. So a request that is already
                /// on its way is answered, and the client opens the next connection elsewhere.
                /// `shutdown()` resolves after this time, or as soon as no connection is open. The
                /// time begins with the drain of the worker, and is at most half of the
                /// `shutdown_grace_period`. With `"0s"`, `shutdown()` does not wait for kept
                /// connections.
                keepalive_grace: ::std::time::Duration {
                    env: "PREFORK_KEEPALIVE_GRACE",
                    getter: get_keepalive_grace -> ::std::time::Duration,
                    default: value "`\"1s\"`",
                    unit: "h, m, s, ms",
                    since: "0.1.0",
                    example: "3s"
                }

                /// Sets how many workers a rollout replaces at the same time.
                ///
                /// A rollout (SIGHUP, `Handle::reload`) starts a successor for each worker. This is
                /// the largest number of successors that exist at the same time: a number, or a
                /// percentage of all workers, rounded up. The first successor of a rollout is
                /// always alone.
                rollout_parallel: $crate::Parallel {
                    env: "PREFORK_ROLLOUT_PARALLEL",
                    getter: get_rollout_parallel -> String,
                    default: value "`\"25%\"`",
                    unit: "workers",
                    since: "0.1.0",
                    example: "50%"
                }

                /// Sets how long a successor must serve before it replaces a worker in a rollout.
                ///
                /// During this time the successor and the worker serve together. If the successor
                /// exits, the rollout is refused, and the worker continues to serve. With `"0s"`, a
                /// successor replaces the worker as soon as it is ready.
                rollout_soak: ::std::time::Duration {
                    env: "PREFORK_ROLLOUT_SOAK",
                    getter: get_rollout_soak -> ::std::time::Duration,
                    default: value "`\"1s\"`",
                    unit: "h, m, s, ms",
                    since: "0.1.0",
                    example: "5s"
                }

                /// Sets the `rollout_soak` of the first successor of a rollout.
                ///
                /// The master starts the other successors after this time. So a program that fails
                /// within it affects the requests of one successor only.
                rollout_canary: ::std::time::Duration {
                    env: "PREFORK_ROLLOUT_CANARY",
                    getter: get_rollout_canary -> ::std::time::Duration,
                    default: computed(::std::time::Duration) "as `rollout_soak`",
                    unit: "h, m, s, ms",
                    since: "0.1.0",
                    example: "30s"
                }

                /// Sets how long a rollout may take.
                ///
                /// A rollout that takes longer is refused. Its roll-back may take as long again. So
                /// the time must be longer than `rollout_canary` plus `rollout_soak` for each
                /// further group of `rollout_parallel` workers. `"0s"` is an error.
                rollout_timeout: ::std::time::Duration {
                    env: "PREFORK_ROLLOUT_TIMEOUT",
                    getter: get_rollout_timeout -> ::std::time::Duration,
                    default: value "`\"1m30s\"`",
                    unit: "h, m, s, ms",
                    since: "0.1.0",
                    example: "5m"
                }

                /// Sets the prefix of the environment variables that set options.
                ///
                /// With `"MYAPP"` the variables are `MYAPP_WORKERS`, `MYAPP_EXPLAIN` and so on, and
                /// variables that begin with `PREFORK_` set no options. The variables that a master
                /// sets for its workers keep their names.
                ///
                /// The master ignores other variables with this prefix, but rejects a name that is
                /// one typo away from the name of an option.
                env_prefix: $crate::Prefix {
                    default: value "`\"PREFORK\"`",
                    since: "0.1.0",
                    example: "MYAPP"
                }

                /// Sets how many threads the tokio runtime of an async `main` has in each worker.
                ///
                /// With 1 it is the current-thread runtime, which is enough if there is one worker
                /// per CPU. With a larger number it is the multi-thread runtime with this number of
                /// threads, for programs in which tasks block each other.
                ///
                /// If `main` is not async or has another runtime (`#[tokio::main]`,
                /// `runtime = path`), this option is an error in the attribute; if it is set
                /// elsewhere, the master ignores it and logs one line. In a builder without feature
                /// `tokio` it is an error.
                runtime_threads: ::std::num::NonZeroUsize {
                    env: "PREFORK_RUNTIME_THREADS",
                    getter: get_runtime_threads -> ::std::num::NonZeroUsize,
                    default: value "`1`",
                    unit: "threads",
                    since: "0.1.0",
                    example: 4
                }

                /// Sets whether each worker runs on one CPU.
                ///
                /// With `true`, the worker of slot 0 runs on the first CPU that the master may use
                /// (`sched_getaffinity(2)`), the worker of slot 1 on the second one, and so on. If
                /// there are more workers than CPUs, the numbering begins again at the first CPU. A
                /// standby runs on any CPU until it gets a slot.
                ///
                /// With `reuseport`, a connection goes to the worker on the CPU that has received
                /// its first packet. For this the master attaches one filter to the sockets of each
                /// address (socket(7)). There is no filter if there are more workers than CPUs: the
                /// kernel then distributes connections by a hash.
                ///
                /// All threads of a worker share its CPU, also those of `runtime_threads`, and so
                /// do the programs that it starts. `std::thread::available_parallelism` is 1 in it.
                /// If a worker cannot be pinned, it runs on any CPU, and the master logs one line.
                ///
                /// A CPU quota does not change which CPUs are used: several servers on one machine
                /// need different CPUs, as by `taskset` or `AllowedCPUs=`. In single-process mode
                /// and on systems other than Linux the option has no effect.
                pin_cpus: bool {
                    env: "PREFORK_PIN_CPUS",
                    getter: get_pin_cpus -> bool,
                    default: value "`false`",
                    since: "0.1.0",
                    example: true
                }

                /// Sets the certificate chain of TLS listeners, the server's certificate first.
                ///
                /// The intermediate certificates follow. The value is PEM: the path of a file, or
                /// bytes such as `include_bytes!("server.pem")`. The addresses decide which
                /// listeners use TLS, as in `tls://0.0.0.0:443`.
                ///
                /// The master reads and checks the certificates together with `tls_key` before it
                /// starts the first worker, and again before each later start. A new worker uses
                /// the files as they are at that time, so a renewal needs no restart of the master.
                /// If the new pair is invalid, the master logs a line and keeps using the last
                /// valid pair. Workers need no permission to read the files.
                tls_cert: $crate::Pem {
                    env: "PREFORK_TLS_CERT",
                    /// It is the path of the file, or a number of bytes such as `512 bytes`.
                    getter: get_tls_cert -> Option<String>,
                    feature: "tls",
                    default: none "no certificate",
                    since: "0.1.0",
                    example: "/etc/ssl/server.pem"
                }

                /// Sets the private key of the certificate in `tls_cert`.
                ///
                /// The value is PEM (PKCS #8, PKCS #1 or SEC1, not encrypted): the path of a file,
                /// or bytes. Errors, log lines and `PREFORK_EXPLAIN` never show any part of the
                /// key.
                tls_key: $crate::Pem {
                    env: "PREFORK_TLS_KEY",
                    /// It is the path of the file, or a number of bytes such as `512 bytes`.
                    getter: get_tls_key -> Option<String>,
                    feature: "tls",
                    default: none "no key",
                    since: "0.1.0",
                    example: "/etc/ssl/private/server.key"
                }

                /// Sets the protocols that TLS negotiates, the preferred one first (ALPN).
                ///
                /// Set `"h2,http/1.1"` for a server that supports HTTP/2 and HTTP/1.1 (RFC 7301). A
                /// client that offers protocols, but none of these, is rejected. If this option is
                /// not set, the server ignores the offers of clients, and web clients use HTTP/1.1.
                /// In the environment variable, commas separate the names. The variable replaces
                /// the list.
                tls_alpn: $crate::Protocols {
                    env: "PREFORK_TLS_ALPN",
                    getter: get_tls_alpn -> Vec<String>,
                    feature: "tls",
                    default: computed($crate::Protocols) "none",
                    since: "0.1.0",
                    example: ["h2", "http/1.1"]
                }

                /// Sets the CAs that must have signed the certificates of clients (mutual TLS).
                ///
                /// The value is the certificates of these CAs as PEM: the path of a file, or bytes.
                /// The master reads and checks it together with `tls_cert`. A client without a
                /// certificate from one of these CAs is rejected in the handshake. An older session
                /// of a client is not resumed.
                tls_client_ca: $crate::Pem {
                    env: "PREFORK_TLS_CLIENT_CA",
                    /// It is the path of the file, or a number of bytes such as `512 bytes`.
                    getter: get_tls_client_ca -> Option<String>,
                    feature: "tls",
                    default: none "no client certificates",
                    since: "0.1.0",
                    example: "/etc/ssl/clients.pem"
                }
            }

            code {
                /// Called in the master with all options, which it may change.
                configure { default: "nothing", since: "0.1.0" }

                /// Called first in every process: in the master and in each worker.
                init { default: "nothing", since: "0.1.0" }

                /// Called in the master with each socket that it opens, before it binds the socket.
                on_socket { default: "nothing", since: "0.1.0" }

                /// Called in the master after each start of a worker.
                on_child_spawn { default: "nothing", since: "0.1.0" }

                /// Called once in the master, after the first worker of every slot was started.
                on_master_ready { default: "nothing", since: "0.1.0" }

                /// Called in the master when a worker is ready for the first time.
                on_child_ready { default: "nothing", since: "0.1.0" }

                /// Called once in the master, when all workers are ready.
                on_fleet_ready { default: "nothing", since: "0.1.0" }

                /// Called in the master after a worker that exited was replaced.
                on_child_recover { default: "nothing", since: "0.1.0" }

                /// Called in a worker after its master died.
                on_master_death { default: "nothing", since: "0.1.0" }

                /// Called in the master before each start of a worker; it may change the command.
                child_producer { default: "this program, started again", since: "0.1.0" }

                /// Called with each log line of the master.
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
                values { $( $(#[doc = $doc:expr])* $name:ident : $kind:ty { $($rest:tt)* } )* }
                code { $( $(#[doc = $code_doc:expr])* $code:ident { $($code_rest:tt)* } )* }
            ) => {
                [$(stringify!($name),)* $(stringify!($code)),*]
            };
        }

        assert_eq!(options! { rows_behind first second }.len(), TABLE.len());
    }
}
