//! A raw listener of tokio, under axum.

use axum::Router;
use axum::routing::get;

#[prefork::main(workers = 2)]
async fn main(listener: tokio::net::TcpListener) -> std::io::Result<()> {
    let app = Router::new().route("/", get(async || "raw\n"));
    axum::serve(listener, app)
        .with_graceful_shutdown(prefork::shutdown())
        .await
}
