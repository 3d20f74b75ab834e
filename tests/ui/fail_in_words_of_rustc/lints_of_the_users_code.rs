//! The compiler reports the same warnings as for a plain function, at the same spans.

#![deny(warnings)]

use prefork::Worker;

#[prefork::main(workers = 0, listen = "127.0.0.1:0")]
async fn main(mut listener: prefork::net::Listener, worker: Worker) -> std::io::Result<()> {
    let unused = 4;
    std::fs::read("/dev/null");
    listener.accept();
    fn never_called_here() {}
    return Ok(());
    println!("too late");
}

#[prefork::main(shutdown_grace_period = (std::time::Duration::ZERO))]
fn never_called_here_either(mut worker: Worker) {
    drop(worker);
}
