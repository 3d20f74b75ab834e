//! The application under prefork, and what else is done with the same binary.
//!
//! - `hello`: the server; `PREFORK_LISTEN` and `PREFORK_WORKERS` say where and how many.
//! - `hello empty`: a `main` that does nothing, for its memory.
//! - `hello grown MEBIBYTES`: a master that has grown so much before it starts workers.

use std::io;
use std::process::ExitCode;

use prefork::ChildCommand;
use prefork::net::Listener;
use prefork_bench::app;

fn main() -> ExitCode {
    app::note_main();
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        None => serve(),
        Some("empty") => empty(),
        Some("grown") => {
            let mebibytes = args.next().and_then(|text| text.parse().ok());
            let mebibytes: usize = mebibytes.expect("a number of mebibytes");
            // Written to, so that the pages are there; kept to the end.
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
        Some(other) => panic!("'{other}' is none of them"),
    }
}

#[prefork::main(listen = "127.0.0.1:0", recover_threshold = 1_000_000)]
#[tokio::main(flavor = "current_thread")]
async fn serve(listener: Listener) -> io::Result<()> {
    app::say_ready();
    axum::serve(listener, app::app())
        .with_graceful_shutdown(prefork::shutdown())
        .await
}

#[prefork::main(workers = 1, recover_threshold = 1_000_000, child_producer = note_order)]
fn grown(ready: prefork::Ready) {
    ready.announce();
    app::say_ready();
    prefork::shutdown().wait();
}

fn note_order(command: &mut ChildCommand) {
    command.env(app::ORDERED_AT, app::monotonic_ns().to_string());
}

fn empty() -> ExitCode {
    app::say_ready();
    loop {
        std::thread::park();
    }
}
