//! Prints the state of the process when `init` is called. `INIT` selects what `init` does.

use std::io::Read;

use prefork::{Role, Worker};

#[prefork::main(workers = 1, recover_threshold = 0, init = init)]
fn main(worker: Worker) {
    println!("body");
    assert_ne!(action(), "panic later", "out of time");
    worker.notify_ready();
    worker.shutdown().blocking_wait();
}

fn init(role: Role) -> Result<(), String> {
    let is_child = std::env::var_os("PREFORK_CHILD").is_some();
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    println!("init of {role}, threads: {threads}, marked: {is_child}");
    match action() {
        action if action == format!("refuse {role}") => return Err("no ink".to_owned()),
        action if action == format!("panic {role}") => panic!("out of paper"),
        action if action == "read" => {
            let read = std::io::stdin().read_to_end(&mut Vec::new());
            read.map_err(|error| error.to_string())?;
        }
        action if action == "panic later" => {
            std::panic::set_hook(Box::new(|_| println!("its own hook for panics")));
        }
        _ => {}
    }
    Ok(())
}

fn action() -> String {
    std::env::var("INIT").unwrap_or_default()
}
