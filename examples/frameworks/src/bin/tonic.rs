//! gRPC on tonic: the standard health service. No build step, so `protoc` is not needed.
//!
//! ```text
//! cargo run --bin tonic
//! grpc_health_probe -addr 127.0.0.1:8080   # status: SERVING
//! ```

use prefork::net::Listener;
use tonic::transport::{Error, Server};
use tonic_health::ServingStatus;

#[prefork::main(listen = "127.0.0.1:8080")]
async fn main(listener: Listener) -> Result<(), Error> {
    // The whole server, which has the empty name, is `SERVING` from the start. A service of your
    // own gets its status with `reporter.set_serving::<YourServer>()`.
    let (reporter, health) = tonic_health::server::health_reporter();
    // A client that watches the status gets this message, and then its stream ends.
    let shutdown = async {
        prefork::shutdown().await;
        reporter
            .set_service_status("", ServingStatus::NotServing)
            .await;
    };
    Server::builder()
        .add_service(health)
        .serve_with_incoming_shutdown(listener.incoming(), shutdown)
        .await
}
