//! Forms of the attribute, and the same functions without it (`--cfg bare`).
//!
//! `tests/tests/lints.rs` compiles both under every lint of rustc and clippy. A lint that fires
//! only with the attribute is about generated code. The values of options contain almost no code
//! here: such code is the user's, and the form without the attribute does not have it.

use std::process::{ExitCode, Termination};

use prefork::net::{Listener, TlsListener};
use prefork::{ArgumentInfo, FromWorker, FromWorkerError, Worker};

/// Has no arguments.
#[cfg_attr(not(bare), prefork::main)]
pub fn nothing() {
    println!("served");
}

/// Has every option that is a text or a number.
#[cfg_attr(not(bare), prefork::main(
    listen = ["http=127.0.0.1:0", "127.0.0.1:0", "https=tls://127.0.0.1:0"],
    network = "tcp4",
    reuseport = false,
    workers = 2,
    recover_threshold = 8,
    recover_window = "1m",
    recover_interval = "0s",
    healthy_after = "1s",
    ready_timeout = "30s",
    shutdown_grace_period = "250ms",
    env_prefix = "LINTS",
    runtime_threads = 2,
    pin_cpus = false,
    tls_cert = "cert.pem",
    tls_key = "key.pem",
    tls_client_ca = "ca.pem",
    tls_alpn = ["h2", "http/1.1"],
))]
pub async fn texts(http: Listener, _second: Listener, https: TlsListener) -> std::io::Result<()> {
    drop((http.accept().await, https.accept().await));
    Ok(())
}

/// Has options that are functions.
#[cfg_attr(not(bare), prefork::main(
    crate = ::prefork,
    on_master_death = || {},
    on_child_spawn = |_child| {},
    logger = |_line| {},
))]
pub fn code(_: Worker) -> ExitCode {
    ExitCode::SUCCESS
}

/// Never returns.
#[cfg_attr(not(bare), prefork::main)]
pub fn never() -> ! {
    std::process::exit(5)
}

/// Waits for the shutdown and never returns.
#[cfg_attr(not(bare), prefork::main(runtime = block_on))]
pub async fn never_later(worker: Worker) -> ! {
    worker.shutdown().await;
    std::process::exit(5)
}

/// Runs a future.
pub fn block_on<T>(future: impl std::future::Future<Output = T>) -> T {
    drop(future);
    std::process::exit(5)
}

/// Returns an opaque type.
///
/// # Errors
/// Never.
#[cfg_attr(not(bare), prefork::main)]
pub async fn opaque() -> Result<impl Termination, String> {
    std::future::ready(()).await;
    Ok(())
}

/// An argument type of the user.
#[derive(Debug)]
pub struct Held(Vec<u8>);

impl FromWorker for Held {
    fn from_worker(worker: &Worker, request: &ArgumentInfo<'_>) -> Result<Self, FromWorkerError> {
        println!("{} {}", worker.slot(), request.name());
        Ok(Self(Vec::new()))
    }
}

/// Has arguments in every form, and attributes.
#[cfg_attr(not(bare), prefork::main(workers = 2))]
#[inline]
#[must_use = "it is a status"]
pub fn patterns(
    _: Worker,
    Held(bytes): Held,
    #[cfg(unix)] _unused: Held,
    #[cfg(windows)] absent: Held,
    borrowed: Held,
    mut changed: Held,
    failed: Result<Held, FromWorkerError>,
) -> ExitCode {
    changed.0.clear();
    println!("{bytes:?} {borrowed:?} {failed:?}");
    ExitCode::SUCCESS
}

/// Has the attribute of another runtime below, and a result.
#[cfg_attr(not(bare), prefork::main(workers = 2))]
#[tokio::main(flavor = "current_thread")]
pub async fn below() -> std::io::Result<ExitCode> {
    tokio::task::yield_now().await;
    std::process::exit(5)
}

/// Has the attribute of another runtime below, and no result.
#[cfg_attr(not(bare), prefork::main)]
#[tokio::main(flavor = "current_thread")]
pub async fn below_without_a_result() {
    tokio::task::yield_now().await;
}

/// Has the attribute of another runtime above.
#[tokio::main(flavor = "current_thread")]
#[cfg_attr(not(bare), prefork::main)]
pub async fn async_without_a_result() {
    tokio::task::yield_now().await;
}

mod private {
    //! A private module with an entry function.

    /// Is visible in this crate only.
    #[cfg_attr(not(bare), prefork::main)]
    pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
        Ok(())
    }
}

/// Keeps the private form in use.
pub fn entry() {
    drop(format!("{:?} {:?}", private::main(), private::main()));
}
