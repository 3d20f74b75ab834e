//! All return types of `main`, and functions with other names.

use std::process::{ExitCode, Termination};

#[prefork::main(workers = 0)]
fn main() -> impl Termination {
    let _functions: [fn() -> ExitCode; 7] = [
        never, code, result, async_never, async_result, with_anyhow, async_anyhow,
    ];
    ExitCode::SUCCESS
}

#[prefork::main]
fn never() -> ! {
    std::process::exit(1)
}

#[prefork::main]
pub(crate) fn code() -> ExitCode {
    ExitCode::from(3)
}

#[prefork::main]
fn result() -> Result<ExitCode, String> {
    Err("no".to_owned())
}

#[prefork::main]
#[tokio::main]
async fn async_never(_worker: prefork::Worker) -> ! {
    tokio::task::yield_now().await;
    std::process::exit(1)
}

#[prefork::main]
async fn async_result() -> Result<impl Termination, std::fmt::Error> {
    Ok(())
}

#[prefork::main]
fn with_anyhow() -> anyhow::Result<()> {
    std::fs::read("/nowhere")?;
    Ok(())
}

#[prefork::main]
#[tokio::main]
async fn async_anyhow(_worker: prefork::Worker) -> anyhow::Result<ExitCode> {
    tokio::task::yield_now().await;
    anyhow::bail!("no")
}
