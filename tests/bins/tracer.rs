//! Traces the process with the pid in the argument, as a debugger does, until stdin ends.

use std::io::Read;
use std::process::ExitCode;

use nix::sys::ptrace::{Options, seize};
use nix::unistd::Pid;

fn main() -> ExitCode {
    let pid = std::env::args().nth(1).and_then(|pid| pid.parse().ok());
    let pid = pid.expect("the argument is a pid");
    if let Err(errno) = seize(Pid::from_raw(pid), Options::empty()) {
        println!("refused: {errno}");
        return ExitCode::FAILURE;
    }
    println!("traces");
    // The tracer does not wait for the process. If the process ends, it stays a zombie until the
    // tracer exits and thereby detaches.
    let read = std::io::stdin().read_to_end(&mut Vec::new());
    match read {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
