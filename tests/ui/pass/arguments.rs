//! Every form of argument; listeners by name and in order.

use prefork::Worker;
use prefork::net::Listener;

#[prefork::main(workers = 0, listen = ["http=127.0.0.1:0", "127.0.0.1:0"])]
fn main(
    worker: Worker,
    mut http: Listener,
    _: Worker,
    #[allow(unused_variables)] other: Listener,
    #[cfg(any())] missing: NoSuchType,
    #[cfg(all())] _second: Worker,
) -> std::io::Result<()> {
    let _worker: Worker = worker;
    let _http: &mut Listener = &mut http;
    Ok(())
}
