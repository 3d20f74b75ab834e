//! WebSockets on axum: a stop or a rollout sends a close frame to each of them, and awaits its end.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::{Router, response::Response, routing::any};
use prefork::net::Listener;
use tokio::time::timeout;

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
    loop {
        let message = tokio::select! {
            message = socket.recv() => message,
            () = &mut closing => break,
        };
        if !answer(&mut socket, message).await {
            return;
        }
    }
    // Messages that are on their way are answered, too. A client that does not pause has 1 s.
    let rest = async {
        while let Ok(message) = timeout(Duration::from_millis(50), socket.recv()).await {
            if !answer(&mut socket, message).await {
                return;
            }
        }
    };
    let _ = timeout(Duration::from_secs(1), rest).await;
    // 1012: the client may connect again.
    let frame = CloseFrame {
        code: close_code::RESTART,
        reason: "the server restarts".into(),
    };
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        // The client answers with a close frame of its own.
        let end = async { while let Some(Ok(_)) = socket.recv().await {} };
        let _ = timeout(Duration::from_secs(1), end).await;
    }
}

/// Returns false if the connection has ended.
async fn answer(socket: &mut WebSocket, message: Option<Result<Message, axum::Error>>) -> bool {
    match message {
        Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
            socket.send(message).await.is_ok()
        }
        // axum answers pings and close frames.
        Some(Ok(_)) => true,
        Some(Err(_)) | None => false,
    }
}
