//! Traces the process whose pid is the argument, as a debugger does, until its own stdin ends.

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
    // It never waits for the process: that stays a zombie until this one ends, which detaches.
    let read = std::io::stdin().read_to_end(&mut Vec::new());
    match read {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
