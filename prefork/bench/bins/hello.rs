//! The application under prefork, and other modes of the same binary.
//!
//! - `hello`: the server. `PREFORK_LISTEN` and `PREFORK_WORKERS` set its address and its workers.
//! - `hello empty`: a `main` that does nothing. The bench measures its memory.
//! - `hello grown MEBIBYTES`: a master that allocates this much memory before it starts workers.

use std::io;
use std::process::ExitCode;

use prefork::ChildCommand;
use prefork::net::Listener;
use prefork_bench::app;

fn main() -> ExitCode {
    app::record_main();
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        None => serve(),
        Some("empty") => empty(),
        Some("grown") => {
            let mebibytes = args.next().and_then(|text| text.parse().ok());
            let mebibytes: usize = mebibytes.expect("the second argument is a number of mebibytes");
            // The master writes to the pages, so that they are resident, and keeps them.
            let size = if prefork::is_child() {
                0
            } else {
                mebibytes << 20
            };
            let ballast = vec![1_u8; size];
            let status = grown();
            drop(ballast);
            status
        }
        Some(other) => panic!("unknown mode '{other}'"),
    }
}

#[prefork::main(listen = "127.0.0.1:0", recover_threshold = 1_000_000)]
#[tokio::main(flavor = "current_thread")]
async fn serve(listener: Listener) -> io::Result<()> {
    app::report_ready();
    axum::serve(listener, app::app())
        .with_graceful_shutdown(prefork::shutdown())
        .await
}

#[prefork::main(workers = 1, recover_threshold = 1_000_000, child_producer = record_start_order)]
fn grown(ready: prefork::Ready) {
    ready.notify_ready();
    app::report_ready();
    prefork::shutdown().blocking_wait();
}

fn record_start_order(command: &mut ChildCommand) {
    command.env(app::ORDERED_AT, app::monotonic_ns().to_string());
}

fn empty() -> ExitCode {
    app::report_ready();
    loop {
        std::thread::park();
    }
}
