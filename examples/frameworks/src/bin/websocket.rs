//! WebSockets on axum: a stop or a rollout sends a close frame to each of them, and awaits its end.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::{Router, response::Response, routing::any};
use prefork::net::Listener;

#[prefork::main(listen = "127.0.0.1:8080")]
async fn main(listener: Listener) -> std::io::Result<()> {
    let app = Router::new().route("/echo", any(upgrade));
    axum::serve(listener, app)
        .with_graceful_shutdown(prefork::shutdown())
        .await?;
    // `axum::serve` does not wait for upgraded connections.
    prefork::streams_ended().await;
    Ok(())
}

async fn upgrade(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(echo)
}

async fn echo(mut socket: WebSocket) {
    let mut closing = prefork::closing();
    while let Some(Ok(message)) = tokio::select! {
        // Messages that have arrived are answered before the socket is closed.
        biased;
        message = socket.recv() => message,
        () = &mut closing => None,
    } {
        if let Message::Text(_) = message {
            let _ = socket.send(message).await;
        }
    }
    // 1012: the client may connect again.
    let frame = CloseFrame {
        code: close_code::RESTART,
        reason: "the server restarts".into(),
    };
    let _ = socket.send(Message::Close(Some(frame))).await;
    // The client answers with a close frame of its own.
    let answer = async { while let Some(Ok(_)) = socket.recv().await {} };
    let _ = tokio::time::timeout(Duration::from_secs(1), answer).await;
}
