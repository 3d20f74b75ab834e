//! A program that depends on prefork under another name.

use server::Worker;

#[server::main(crate = server, workers = 0, listen = "127.0.0.1:0")]
async fn main(_worker: Worker, _listener: server::net::Listener) -> std::process::ExitCode {
    std::future::ready(()).await;
    std::process::ExitCode::from(5)
}
