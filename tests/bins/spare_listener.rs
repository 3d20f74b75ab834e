//! Takes one listener and the worker as arguments. The worker can provide the other listener.

use prefork::Worker;
use prefork::net::Listener;

#[prefork::main(listen = ["http=127.0.0.1:0", "admin=127.0.0.1:0"], workers = 1)]
fn main(http: Listener, _worker: Worker) {
    while let Some(connection) = http.blocking_accept() {
        drop(connection);
    }
}
