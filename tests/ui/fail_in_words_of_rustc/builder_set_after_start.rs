use std::process::ExitCode;

use prefork::{Prefork, Worker};

fn resize(workers: usize) -> Result<(), prefork::Error> {
    let master = Prefork::new().start()?;
    // A running master has no options.
    master.workers(workers);
    master.wait()
}

fn main() -> ExitCode {
    resize(4).expect("it does not compile");
    Prefork::new().main(|_: Worker| {}).workers(2)
}
