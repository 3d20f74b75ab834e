//! The two programs whose workers share sockets: an async one and a blocking one.

use std::process::Command;

use crate::client;
use crate::server::{self, Server};

/// The program `one-request` in one of its modes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    Tokio,
    Blocking,
}

impl Program {
    pub(super) const ALL: [Self; 2] = [Self::Tokio, Self::Blocking];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::Blocking => "blocking",
        }
    }

    /// Starts the program, and waits until every worker is about to accept.
    pub(super) fn start(self, workers: usize, reuseport: &str) -> Server {
        let server = Server::run(workers, |addr| {
            self.command(&addr.to_string(), workers, reuseport)
        });
        server.wait_for_reports();
        client::ask_until_answered(server.addr, None);
        server
    }

    /// Checks whether the program starts with this value of `reuseport`.
    ///
    /// # Errors
    /// What the program prints if it rejects the value.
    pub(super) fn check(self, reuseport: &str) -> Result<(), String> {
        let mut command = self.command("127.0.0.1:0", 2, reuseport);
        let output = command.env("PREFORK_EXPLAIN", "1").output();
        let output = output.expect("cargo has built the server");
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn command(self, listen: &str, workers: usize, reuseport: &str) -> Command {
        let program = env!("CARGO_BIN_EXE_one-request").as_ref();
        let mut command = server::prefork(program, listen, workers);
        command.arg(self.name()).env("PREFORK_REUSEPORT", reuseport);
        command
    }
}
