//! The application under the hand-made supervisor: `floor ADDRESS WORKERS`.
//!
//! With `FLOOR_THREAD` in the environment each worker has a second thread, which does nothing: what
//! it costs to have one that could watch the master.

use std::{io, thread};

use prefork_bench::{app, floor};

fn main() -> io::Result<()> {
    app::note_main();
    if let Some(listener) = floor::inherited() {
        return serve(listener);
    }
    let mut args = std::env::args().skip(1);
    let addr = args.next().expect("the address comes first");
    let workers = args.next().and_then(|text| text.parse().ok());
    match floor::supervise(&addr, workers.expect("the number of workers comes second"))? {}
}

#[tokio::main(flavor = "current_thread")]
async fn serve(listener: std::net::TcpListener) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    if std::env::var_os(app::THREAD).is_some() {
        // As large as prefork's.
        let thread = thread::Builder::new().stack_size(256 * 1024);
        thread.spawn(|| {
            loop {
                thread::park();
            }
        })?;
    }
    app::say_ready();
    axum::serve(listener, app::app()).await
}
