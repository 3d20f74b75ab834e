//! WebSockets on axum: a stop sends a close frame to each of them.

use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::{Router, extract::State, response::Response, routing::any};
use prefork::net::Listener;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

#[prefork::main(listen = "127.0.0.1:8080")]
async fn main(listener: Listener) -> std::io::Result<()> {
    let sockets = TaskTracker::new();
    let app = Router::new().route("/echo", any(upgrade));
    let server = axum::serve(listener, app.with_state(sockets.clone()));
    server.with_graceful_shutdown(prefork::shutdown()).await?;
    // `axum::serve` does not wait for upgraded connections.
    sockets.close();
    sockets.wait().await;
    Ok(())
}

async fn upgrade(upgrade: WebSocketUpgrade, State(sockets): State<TaskTracker>) -> Response {
    let token = sockets.token();
    upgrade.on_upgrade(|socket| echo(socket, token))
}

async fn echo(mut socket: WebSocket, _token: TaskTrackerToken) {
    let mut shutdown = prefork::shutdown();
    while let Some(Ok(message)) = tokio::select! {
        message = socket.recv() => message,
        () = &mut shutdown => None,
    } {
        if let Message::Text(_) = message {
            let _ = socket.send(message).await;
        }
    }
    let _ = socket.send(Message::Close(None)).await;
    // The client answers the close frame.
    let _ = tokio::time::timeout(Duration::from_secs(1), socket.recv()).await;
}
