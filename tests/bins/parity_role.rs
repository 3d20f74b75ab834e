//! Tells which role it has. As a worker it starts itself as a program of its own: with the argument
//! `tell` it only tells.

use std::process::{Command, ExitCode};
use std::{env, thread};

use prefork::{Prefork, Worker};

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some("tell") {
        tell("grandchild");
        return ExitCode::SUCCESS;
    }
    // Nothing is said: whatever holds then is what `Prefork::new()` stands for.
    let mut prefork = Prefork::new();
    prefork.handle_signals();
    prefork::report(prefork.run(body))
}

async fn body(worker: Worker) -> std::io::Result<()> {
    tell("worker");
    let runtime = tokio::runtime::Handle::current().runtime_flavor();
    let threads = thread::available_parallelism()?;
    println!("runtime {runtime:?}, {threads} usable CPUs");
    Command::new(env::current_exe()?).arg("tell").status()?;
    worker.ready();
    println!("started {}", worker.slot());
    worker.shutdown().await;
    Ok(())
}

fn tell(who: &str) {
    let is_set = env::var_os("PREFORK_CHILD").is_some();
    println!("{who}: child {}, variable {is_set}", prefork::is_child());
}
