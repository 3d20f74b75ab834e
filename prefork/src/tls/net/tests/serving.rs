//! The TLS listener as an argument of `axum::serve`.
#![cfg(feature = "axum")]

use std::sync::Arc;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use axum::serve::ListenerExt;
use prefork_options::Addr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stage::{TlsStage, on_each_runtime};

#[test]
fn handlers_get_the_address_of_the_client() {
    on_each_runtime(|| async {
        let stage = TlsStage::new();
        let addr = stage.addr;
        let app = Router::new().route(
            "/",
            get(async |ConnectInfo(peer): ConnectInfo<Addr>| peer.to_string()),
        );
        let listener = Arc::into_inner(stage.listener).expect("the only reference");
        let listener = listener.tap_io(|stream| {
            stream.set_nodelay(true).expect("a connection");
            assert_eq!(stream.server_name(), Some("localhost"));
        });
        let service = app.into_make_service_with_connect_info::<Addr>();
        tokio::spawn(async move { axum::serve(listener, service).await });

        let io = tokio::net::TcpStream::connect(addr)
            .await
            .expect("a listener");
        let peer = io.local_addr().expect("an address").to_string();
        let mut client = super::stage::speak_tls(io).await;
        let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        client.write_all(request).await.expect("a server");
        let mut answer = String::new();
        client
            .read_to_string(&mut answer)
            .await
            .expect("an answer and close_notify");
        assert!(answer.ends_with(&peer), "{answer}");
    });
}
