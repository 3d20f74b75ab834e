//! HTTP/1 and HTTP/2 on hyper, without a framework. Clients of kept connections lose no request.
//!
//! ```text
//! cargo run --bin hyper
//! curl http://127.0.0.1:8080/                           # hello over HTTP/1.1
//! curl --http2-prior-knowledge http://127.0.0.1:8080/   # hello over HTTP/2.0
//! ```

use std::convert::Infallible;

use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::{conn::auto::Builder, graceful::GracefulShutdown};
use hyper_util::service::TowerToHyperService;
use prefork::http::DrainLayer;
use prefork::net::Listener;
use tower::{Layer, service_fn};

#[prefork::main(listen = "127.0.0.1:8080")]
async fn main(listener: Listener) -> std::io::Result<()> {
    let server = Builder::new(TokioExecutor::new());
    let service = TowerToHyperService::new(DrainLayer::new().layer(service_fn(hello)));
    let connections = GracefulShutdown::new();
    let mut shutdown = prefork::shutdown();
    loop {
        let (stream, _peer) = tokio::select! {
            accepted = listener.accept() => accepted?,
            () = &mut shutdown => break,
        };
        let connection = server.serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(connections.watch(connection.into_owned()));
    }
    // Waits for the requests in flight. HTTP/2 clients get GOAWAY.
    connections.shutdown().await;
    Ok(())
}

async fn hello(request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    Ok(Response::new(format!(
        "hello over {:?}\n",
        request.version()
    )))
}
