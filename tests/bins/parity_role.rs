//! Prints its role. As a worker it starts its own executable as a separate program, with the
//! argument `print`. That program only prints its role.

use std::process::{Command, ExitCode};
use std::{env, thread};

use prefork::{Prefork, Worker};

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some("print") {
        print_role("grandchild");
        return ExitCode::SUCCESS;
    }
    // Only `handle_signals` is set. All other options keep the defaults of `Prefork::new()`.
    let prefork = Prefork::new().handle_signals();
    prefork::report(prefork.run(body))
}

async fn body(worker: Worker) -> std::io::Result<()> {
    print_role("worker");
    let runtime = tokio::runtime::Handle::current().runtime_flavor();
    let threads = thread::available_parallelism()?;
    println!("runtime {runtime:?}, {threads} usable CPUs");
    Command::new(env::current_exe()?).arg("print").status()?;
    worker.notify_ready();
    println!("started {}", worker.slot());
    worker.shutdown().await;
    Ok(())
}

fn print_role(process: &str) {
    let is_set = env::var_os("PREFORK_CHILD").is_some();
    println!(
        "{process}: child {}, variable {is_set}",
        prefork::is_child()
    );
}
