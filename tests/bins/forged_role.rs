//! Executes a program with the variables and the channel of a worker that no master started:
//! `forged_role <program> <args…>`.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::{env, io};

use socket2::{Domain, Socket, Type};

fn main() -> ExitCode {
    eprintln!("forged_role: {}", execute());
    ExitCode::FAILURE
}

/// Executes the program. Returns only if that fails.
fn execute() -> io::Error {
    let (own_end, child_end) = match Socket::pair(Domain::UNIX, Type::SEQPACKET, None) {
        Ok(pair) => pair,
        Err(error) => return error,
    };
    let script = "export LISTEN_PID=$$; exec 3<&0 0</dev/null; exec \"$@\"";
    let error = Command::new("sh")
        .args(["-c", script, "sh"])
        .args(env::args_os().skip(1))
        .env("PREFORK_CHILD", "1:0:1:3")
        .env("PREFORK_ADDRS", "")
        .env("LISTEN_FDS", "0")
        .env("LISTEN_FDNAMES", "")
        .stdin(OwnedFd::from(child_end))
        .exec();
    drop(own_end);
    error
}
