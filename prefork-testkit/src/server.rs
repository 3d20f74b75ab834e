//! A server under test, before it is started.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, ExitStatus, Stdio};

use crate::ctor::{prepare_server, with_high_number};
use crate::log::ServerLog;
use crate::notify::{ServerMessages, ServerState};
use crate::process_tree::{MARK, ProcessTree};
use crate::running::RunningServer;

/// Describes a server under test: a program that uses prefork.
///
/// By default the server listens on a free port of 127.0.0.1, instead of the addresses in its code.
/// It inherits the environment of the test, without `PORT`, `WEB_CONCURRENCY`, `NOTIFY_SOCKET` and
/// the variables that begin with `PREFORK_`.
///
/// The server starts with the default disposition of each signal that a master handles. This is so
/// even if some of them were ignored when the test was started, as by `cargo test &` in a script
/// (SIGINT, SIGQUIT) or by `nohup` (SIGHUP). A master does not handle a signal that was ignored at
/// its start. To test a server under `nohup`, use `nohup` as the [wrapper](Self::wrapper).
///
/// # Examples
/// ```no_run
/// # use prefork_testkit::Server;
/// let server = Server::new("target/debug/hello")
///     .listen("http=127.0.0.1:0,admin=127.0.0.1:0")
///     .env("PREFORK_WORKERS", "2")
///     .start();
/// println!("{} and {}", server.addr_of("http"), server.addr_of("admin"));
/// ```
#[derive(Debug)]
#[must_use = "call `start`, `start_unready`, `run` or `spawn`"]
pub struct Server {
    program: OsString,
    args: Vec<OsString>,
    wrapper: Vec<OsString>,
    /// `None` removes the variable.
    env: Vec<(OsString, Option<OsString>)>,
    listen: Option<String>,
    stdin: Stdio,
}

/// The exit status and the log of a server, returned by [`Server::run`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Output {
    /// The exit status of the server.
    pub status: ExitStatus,
    /// The lines that the server and its workers wrote to stdout and stderr, in order.
    pub log: Vec<String>,
}

impl Server {
    /// Creates a server from the path of its program.
    ///
    /// In a test of the package that contains the program, the path is
    /// `env!("CARGO_BIN_EXE_<name>")`.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            wrapper: Vec::new(),
            env: Vec::new(),
            listen: Some("127.0.0.1:0".to_owned()),
            stdin: Stdio::null(),
        }
    }

    /// Adds a command-line argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    /// Removes an environment variable.
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.env.push((name.into(), None));
        self
    }

    /// Sets the addresses of the listeners, in the syntax of `PREFORK_LISTEN`.
    ///
    /// They replace all listeners of the program, with their names. If these have names or use TLS,
    /// set them here, for example `https=tls://127.0.0.1:0`. Default: `127.0.0.1:0`.
    pub fn listen(mut self, addresses: impl Into<String>) -> Self {
        self.listen = Some(addresses.into());
        self
    }

    /// Keeps the listeners that are configured in the program.
    pub fn keep_listen(mut self) -> Self {
        self.listen = None;
        self
    }

    /// Sets stdin.
    ///
    /// Default: `/dev/null`.
    pub fn stdin(mut self, stdin: impl Into<OwnedFd>) -> Self {
        self.stdin = Stdio::from(stdin.into());
        self
    }

    /// Sets a program that starts the server.
    ///
    /// It gets the path and the arguments of the server after its own arguments. Examples:
    /// `unshare`, `setpriv`, `sh -c 'exec "$@"' sh`.
    pub fn wrapper(mut self, wrapper: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.wrapper = wrapper.into_iter().map(Into::into).collect();
        self
    }

    /// Starts the server and waits until all its workers are healthy.
    ///
    /// The master reports this through the descriptor of `PREFORK_NOTIFY_FD`, which the server
    /// inherits, also through a [`wrapper`](Self::wrapper). So it does not matter what the program
    /// does with its log. In single-process mode, the server is healthy once its `main` is ready.
    ///
    /// A program that is set-user-ID or has file capabilities does not use the variable: start it
    /// with [`spawn`](Self::spawn).
    ///
    /// # Panics
    /// If the server cannot be started, exits before its workers are healthy, or does not report
    /// it within [`TIMEOUT`](crate::TIMEOUT). The message contains the state of the process and the
    /// log.
    #[track_caller]
    pub fn start(self) -> RunningServer {
        let mut running = self.spawn();
        running.wait_until(ServerState::Ready);
        running
    }

    /// Starts the server and waits until the first worker of each slot was started.
    ///
    /// The workers need not be ready. Use it for a server whose workers do not become ready.
    /// Otherwise as [`start`](Self::start).
    ///
    /// # Panics
    /// As for [`start`](Self::start).
    #[track_caller]
    pub fn start_unready(self) -> RunningServer {
        let mut running = self.spawn();
        running.wait_until(ServerState::Started);
        running
    }

    /// Starts the server and waits until it has exited.
    ///
    /// Use it for a server that must fail at its start.
    ///
    /// # Panics
    /// If the server cannot be started, or does not exit within [`TIMEOUT`](crate::TIMEOUT). The
    /// message contains the log.
    #[track_caller]
    pub fn run(self) -> Output {
        let mut running = self.spawn();
        let status = running.wait();
        Output {
            status,
            log: running.final_log(),
        }
    }

    /// Starts the server without waiting for anything.
    ///
    /// The result does not know the addresses of the server.
    ///
    /// # Panics
    /// If the server cannot be started.
    #[track_caller]
    pub fn spawn(self) -> RunningServer {
        let program = self.program.clone();
        match self.spawn_process() {
            Ok(running) => running,
            Err(error) => panic!("cannot start {}: {error}", program.display()),
        }
    }

    fn spawn_process(self) -> io::Result<RunningServer> {
        let (reader, writer) = io::pipe()?;
        let (messages, notify_fd) = io::pipe()?;
        let notify_fd = with_high_number(notify_fd)?;
        let family = ProcessTree::new();
        let mut command = self.command(notify_fd.as_raw_fd());
        let process = prepare_server(&mut command, notify_fd)
            .env(MARK, family.mark())
            .stdin(self.stdin)
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .spawn()?;
        // The command holds the writing ends of the pipes: while they are open, neither the log nor
        // the messages end.
        drop(command);
        let (log, messages) = (
            ServerLog::capture(reader),
            ServerMessages::capture(messages),
        );
        Ok(RunningServer::new(process, family, log, messages))
    }

    fn command(&self, notify_fd: i32) -> Command {
        let mut words: Vec<&OsStr> = self.wrapper.iter().map(OsString::as_os_str).collect();
        words.push(&self.program);
        words.extend(self.args.iter().map(OsString::as_os_str));
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        for (name, _) in std::env::vars_os() {
            let is_platform = ["PORT", "WEB_CONCURRENCY", "NOTIFY_SOCKET"]
                .iter()
                .any(|other| name == *other);
            if is_platform || name.to_string_lossy().starts_with("PREFORK_") {
                command.env_remove(name);
            }
        }
        if let Some(addresses) = &self.listen {
            command.env("PREFORK_LISTEN", addresses);
        }
        command.env("PREFORK_NOTIFY_FD", notify_fd.to_string());
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }
}

impl Output {
    /// Returns the exit status as a number.
    ///
    /// `None` if a signal killed the server.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Returns the whole log as one text.
    pub fn text(&self) -> String {
        self.log.join("\n")
    }
}
