//! Takes its first listener as an argument, and the second one later as a raw listener.

use prefork::net::Listener;
use prefork::{FromWorkerError, Worker};

#[prefork::main(listen = ["http=127.0.0.1:0", "admin=127.0.0.1:0"], workers = 3)]
fn main(http: Listener, worker: Worker) -> Result<(), FromWorkerError> {
    let _admin = worker.tcp_listener("admin")?;
    while let Some(connection) = http.blocking_accept() {
        drop(connection);
    }
    Ok(())
}
