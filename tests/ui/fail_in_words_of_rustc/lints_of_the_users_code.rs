//! What the compiler would warn of in a plain function, it warns of here, at the same places.

#![deny(warnings)]

use prefork::Worker;

#[prefork::main(workers = 0, listen = "127.0.0.1:0")]
async fn main(mut listener: prefork::net::Listener, worker: Worker) -> std::io::Result<()> {
    let unused = 4;
    std::fs::read("/dev/null");
    listener.accept();
    fn nobody_calls_this() {}
    return Ok(());
    println!("too late");
}

#[prefork::main(shutdown_grace_period = (std::time::Duration::ZERO))]
fn nobody_calls_this_either(mut worker: Worker) {
    drop(worker);
}
