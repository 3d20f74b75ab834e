//! A server under test, before it is started.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, ExitStatus, Stdio};

use crate::ctor::with_default_signals;
use crate::log::ServerLog;
use crate::process_tree::{MARK, ProcessTree};
use crate::running::RunningServer;

/// Describes a server under test: a program that uses prefork.
///
/// By default the server listens on a free port of 127.0.0.1, instead of the addresses in its code.
/// It inherits the environment of the test, without `PORT`, `WEB_CONCURRENCY` and the variables
/// that begin with `PREFORK_`.
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
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    /// Removes an environment variable.
    #[must_use]
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.env.push((name.into(), None));
        self
    }

    /// Sets the addresses of the listeners, in the syntax of `PREFORK_LISTEN`.
    ///
    /// Default: `127.0.0.1:0`.
    #[must_use]
    pub fn listen(mut self, addresses: impl Into<String>) -> Self {
        self.listen = Some(addresses.into());
        self
    }

    /// Keeps the listeners that are configured in the program.
    #[must_use]
    pub fn keep_listen(mut self) -> Self {
        self.listen = None;
        self
    }

    /// Sets stdin.
    ///
    /// Default: `/dev/null`.
    #[must_use]
    pub fn stdin(mut self, stdin: impl Into<OwnedFd>) -> Self {
        self.stdin = Stdio::from(stdin.into());
        self
    }

    /// Sets a program that starts the server.
    ///
    /// It gets the path and the arguments of the server after its own arguments. Examples:
    /// `unshare`, `setpriv`, `sh -c 'exec "$@"' sh`.
    #[must_use]
    pub fn wrapper(mut self, wrapper: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.wrapper = wrapper.into_iter().map(Into::into).collect();
        self
    }

    /// Starts the server and waits for its startup line.
    ///
    /// The startup line is the line `prefork: listening on …` of the master on stdout or stderr. If
    /// the program has its own logger, or a subscriber of `tracing` or `log`, it must write that
    /// line in this form. Otherwise use [`spawn`](Self::spawn) and
    /// [`wait_for_log`](RunningServer::wait_for_log).
    ///
    /// # Panics
    /// If the server cannot be started, exits before the startup line, or does not write it within
    /// [`TIMEOUT`](crate::TIMEOUT). The message contains the state of the process, the probable
    /// cause and the log.
    #[track_caller]
    pub fn start(self) -> RunningServer {
        let mut running = self.spawn();
        running.wait_until_serving();
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

    /// Starts the server without waiting for its startup line.
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
        let family = ProcessTree::new();
        let mut command = self.command();
        let process = with_default_signals(&mut command)
            .env(MARK, family.mark())
            .stdin(self.stdin)
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .spawn()?;
        // The command holds the writing end of the pipe: while it is open, the log does not end.
        drop(command);
        Ok(RunningServer::new(
            process,
            family,
            ServerLog::capture(reader),
        ))
    }

    fn command(&self) -> Command {
        let mut words: Vec<&OsStr> = self.wrapper.iter().map(OsString::as_os_str).collect();
        words.push(&self.program);
        words.extend(self.args.iter().map(OsString::as_os_str));
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        for (name, _) in std::env::vars_os() {
            let is_platform = ["PORT", "WEB_CONCURRENCY"]
                .iter()
                .any(|other| name == *other);
            if is_platform || name.to_string_lossy().starts_with("PREFORK_") {
                command.env_remove(name);
            }
        }
        if let Some(addresses) = &self.listen {
            command.env("PREFORK_LISTEN", addresses);
        }
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
