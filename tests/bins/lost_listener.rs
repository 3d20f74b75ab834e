//! Shuts down its listening socket when a client requests `/lose`. Every later accept fails.

use axum::Router;
use axum::routing::get;
use nix::sys::socket::{Shutdown, shutdown};
use prefork::net::Listener;

#[prefork::main(listen = "127.0.0.1:0", workers = 1)]
async fn main(listener: Listener) -> std::io::Result<()> {
    let app = Router::new()
        .route("/", get(async || "served\n"))
        .route("/lose", get(lose));
    axum::serve(listener, app)
        .with_graceful_shutdown(prefork::shutdown())
        .await
}

async fn lose() -> &'static str {
    for number in 3..64 {
        // Only the listening socket has no peer. Connections and socket pairs have one.
        let peer = nix::sys::socket::getpeername::<nix::sys::socket::SockaddrStorage>(number);
        if peer == Err(nix::errno::Errno::ENOTCONN) {
            let _ = shutdown(number, Shutdown::Both);
        }
    }
    "lost\n"
}
