//! A program under test, before it runs.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, ExitStatus, Stdio};

use crate::constructor::with_default_signals;
use crate::family::{Family, MARK};
use crate::log::Log;
use crate::running::Running;

/// Describes a real server under test: a program that serves with prefork.
///
/// Unless said otherwise it listens on a free port of 127.0.0.1, whatever the program was written
/// with, and inherits the environment of the test, but no option of prefork from there, nor `PORT` and
/// `WEB_CONCURRENCY`.
///
/// It starts with the default disposition of each signal that a master handles, also if the test was
/// started with some of them ignored: by `cargo test &` in a script (SIGINT, SIGQUIT), or by `nohup`
/// (SIGHUP). A master leaves a signal alone that was ignored at its start; to test a server under
/// `nohup`, start it [through](Self::through) `nohup`.
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

/// How a program that was [run](Server::run) to its end ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it and all its children wrote, in the order in which it came.
    pub log: Vec<String>,
}

impl Server {
    /// A server by the path of its program: in a test `env!("CARGO_BIN_EXE_<name>")`.
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

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    /// Removes a variable from its environment.
    #[must_use]
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.env.push((name.into(), None));
        self
    }

    /// Where it listens, in the words of `PREFORK_LISTEN`.
    #[must_use]
    pub fn listen(mut self, addresses: impl Into<String>) -> Self {
        self.listen = Some(addresses.into());
        self
    }

    /// It listens where the program says.
    #[must_use]
    pub fn listen_as_written(mut self) -> Self {
        self.listen = None;
        self
    }

    /// What it has as stdin; nothing unless said.
    #[must_use]
    pub fn stdin(mut self, stdin: impl Into<OwnedFd>) -> Self {
        self.stdin = Stdio::from(stdin.into());
        self
    }

    /// Starts it through another program, which is given the server's program and arguments behind
    /// its own: `unshare`, `setpriv`, `sh -c 'exec "$@"' sh`.
    #[must_use]
    pub fn through(mut self, wrapper: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.wrapper = wrapper.into_iter().map(Into::into).collect();
        self
    }

    /// Starts it and waits until it announces that it serves.
    ///
    /// The announcement is the master's line `prefork: listening on …` on stdout or stderr. A program with a logger of its
    /// own, or a subscriber of `tracing` or `log`, has to write that line in this form; else use
    /// [`launch`](Self::launch) and [`wait_for_log`](Running::wait_for_log).
    ///
    /// # Panics
    /// If it cannot be started, if it ends without the announcement, or if that does not come within
    /// [`LIMIT`](crate::LIMIT). The message has the state of the process, the likely cause and the log.
    #[track_caller]
    pub fn start(self) -> Running {
        let mut running = self.launch();
        running.wait_until_it_serves();
        running
    }

    /// Starts it and waits until it has ended: for a server that is expected to refuse.
    ///
    /// # Panics
    /// If it cannot be started, or does not end; the message shows its log.
    #[track_caller]
    pub fn run(self) -> Output {
        let mut running = self.launch();
        let status = running.wait();
        Output {
            status,
            log: running.whole_log(),
        }
    }

    /// Starts it and waits for nothing.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn launch(self) -> Running {
        let program = self.program.clone();
        match self.spawn() {
            Ok(running) => running,
            Err(error) => panic!("cannot start {}: {error}", program.display()),
        }
    }

    fn spawn(self) -> io::Result<Running> {
        let (reader, writer) = io::pipe()?;
        let family = Family::new();
        let mut command = self.command();
        let process = with_default_signals(&mut command)
            .env(MARK, family.mark())
            .stdin(self.stdin)
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .spawn()?;
        // The command holds the pipe's writing end: with it the log would never end.
        drop(command);
        Ok(Running::new(process, family, Log::capture(reader)))
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
    /// The exit status as a number; `None` if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The whole log as one text.
    pub fn text(&self) -> String {
        self.log.join("\n")
    }
}
