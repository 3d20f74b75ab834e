//! Every form of function, with each kind of value, under strict lints. `cargo test` compiles this
//! file in each edition, and `.ci/run` checks it with clippy.

#![no_implicit_prelude]
#![deny(warnings, missing_docs, unused_qualifications, unreachable_pub)]
#![deny(clippy::pedantic, clippy::nursery)]
#![forbid(unsafe_code)]

use ::prefork::net::Listener;
use ::prefork::{ChildSpawned, Worker};
use ::std::process::{ExitCode, Termination};

/// Has no arguments.
#[::prefork::main]
pub fn nothing() {
    ::std::println!("served");
}

/// Has options that a text can set.
#[::prefork::main(
    listen = ["http=127.0.0.1:0", "127.0.0.1:0"],
    network = "tcp4",
    reuseport = false,
    workers = "auto",
    recover_threshold = 8,
    recover_window = "1m",
    recover_interval = "0s",
    healthy_after = "1s",
    ready_timeout = ::std::time::Duration::from_secs(30),
    shutdown_grace_period = "250ms"
)]
pub async fn texts(mut http: Listener, second: Listener, worker: Worker) -> ::std::io::Result<()> {
    let http: &mut Listener = &mut http;
    ::std::mem::drop((http.accept().await, second, worker));
    ::std::result::Result::Ok(())
}

/// Has options that code sets.
#[::prefork::main(
    crate = ::prefork,
    on_child_spawn = spawned,
    on_master_ready = |master| ::std::println!("{:?}", master.pids()),
    on_child_recover = |child| ::std::println!("{} for {}", child.new_pid(), child.old_pid()),
    on_master_death = || {},
    child_producer = |command| {
        command.env("LANG", "C");
    },
    logger = |line| ::std::println!("{line}")
)]
pub fn code(_: Worker) -> ExitCode {
    ExitCode::SUCCESS
}

fn spawned(child: &ChildSpawned) {
    ::std::println!("{}", child.pid());
}

/// Never returns.
#[::prefork::main]
pub fn never() -> ! {
    ::std::process::exit(5)
}

/// Waits for the shutdown and never returns.
#[::prefork::main(runtime = block_on)]
pub async fn never_later(worker: Worker) -> ! {
    worker.shutdown().await;
    ::std::process::exit(5)
}

fn block_on<T>(future: impl ::std::future::Future<Output = T>) -> T {
    ::std::mem::drop(future);
    ::std::process::exit(5)
}

/// Returns an opaque type.
///
/// # Errors
/// Never.
#[::prefork::main]
pub async fn anything() -> ::std::result::Result<impl Termination, ::std::string::String> {
    ::std::future::ready(()).await;
    ::std::result::Result::Ok(())
}
