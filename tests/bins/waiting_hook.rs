//! A master with a hook that waits until stdin ends. With `HOOK=fails`, the hook then fails.

use std::io::Read;

use prefork::{MasterReady, Worker};

#[prefork::main(workers = 1, on_master_ready = hook)]
fn main(worker: Worker) {
    worker.notify_ready();
    worker.shutdown().blocking_wait();
}

fn hook(_: &MasterReady) -> Result<(), String> {
    println!("the hook waits");
    std::io::stdin()
        .read_to_end(&mut Vec::new())
        .map_err(|error| error.to_string())?;
    match std::env::var("HOOK").as_deref() {
        Ok("fails") => Err("no ink".to_owned()),
        _ => Ok(()),
    }
}
