//! The application under the hand-written supervisor: `baseline ADDRESS WORKERS`.
//!
//! If `BASELINE_THREAD` is set, each worker has a second thread, which is idle. It shows the cost
//! of a thread that watches the master.

use std::{io, thread};

use prefork_bench::{app, baseline};

fn main() -> io::Result<()> {
    app::record_main();
    if let Some(listener) = baseline::inherited() {
        return serve(listener);
    }
    let mut args = std::env::args().skip(1);
    let addr = args.next().expect("the first argument is the address");
    let workers = args.next().and_then(|text| text.parse().ok());
    match baseline::supervise(
        &addr,
        workers.expect("the second argument is the number of workers"),
    )? {}
}

#[tokio::main(flavor = "current_thread")]
async fn serve(listener: std::net::TcpListener) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    if std::env::var_os(app::THREAD).is_some() {
        // The stack has the size of the one in prefork.
        let thread = thread::Builder::new().stack_size(256 * 1024);
        thread.spawn(|| {
            loop {
                thread::park();
            }
        })?;
    }
    app::report_ready();
    axum::serve(listener, app::app()).await
}
