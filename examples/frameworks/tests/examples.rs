//! Each example answers a client of its protocol, and stops in time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prefork_testkit::{RunningServer, Server};
use tokio_tungstenite::tungstenite::Message;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Less than the default of `shutdown_grace_period` (5 s), at whose end workers are killed.
const STOP_LIMIT: Duration = Duration::from_secs(4);

fn start(program: &str) -> RunningServer {
    let server = Server::new(program).env("PREFORK_WORKERS", "2").start();
    server.wait_for_children(2);
    server
}

fn stop(mut server: RunningServer) {
    let began = Instant::now();
    let status = server.stop();
    let log = server.final_log();
    assert!(status.success(), "{log:#?}");
    assert!(began.elapsed() < STOP_LIMIT, "{log:#?}");
    let exits = log.iter().filter(|line| line.ends_with(", as requested"));
    assert_eq!(exits.count(), 2, "{log:#?}");
}

fn connect(server: &RunningServer) -> TcpStream {
    let client = TcpStream::connect(server.addr()).expect("the server listens");
    client
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a socket");
    client
}

/// Sends a request with HTTP/1.1 and returns the response.
fn get(server: &RunningServer) -> String {
    let mut client = connect(server);
    write!(
        client,
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    )
    .expect("the server reads the request");
    let mut response = String::new();
    client
        .read_to_string(&mut response)
        .expect("the server answers");
    response
}

#[test]
fn actix_answers() {
    let server = start(env!("CARGO_BIN_EXE_actix"));
    let response = get(&server);
    assert!(response.contains("\r\nhello from worker "), "{response}");
    stop(server);
}

#[tokio::test]
async fn hyper_answers_http_1_and_2() {
    let server = start(env!("CARGO_BIN_EXE_hyper"));
    let response = get(&server);
    assert!(
        response.ends_with("\r\nhello over HTTP/1.1\n"),
        "{response}"
    );

    let stream = tokio::net::TcpStream::connect(server.addr()).await;
    let stream = TokioIo::new(stream.expect("the server listens"));
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
            .await
            .expect("the server speaks HTTP/2");
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get(format!("http://{}/", server.addr()));
    let request = request.body(Empty::<Bytes>::new()).expect("a request");
    let response = client.send_request(request).await.expect("a response");
    let body = response.into_body().collect().await.expect("a body");
    assert_eq!(body.to_bytes(), "hello over HTTP/2.0\n");
    // The client keeps its connection. The server ends it, which takes answers of the client.
    let stopping = tokio::task::spawn_blocking(|| stop(server));
    stopping.await.expect("the server stops");
    let ended = connection.await.expect("the task does not panic");
    ended.expect("the server sends GOAWAY");
}

#[tokio::test]
async fn tonic_answers_the_health_service() {
    let server = start(env!("CARGO_BIN_EXE_tonic"));
    let channel = tonic::transport::Endpoint::new(format!("http://{}", server.addr()));
    let channel = channel.expect("a URI").connect().await.expect("it listens");
    let mut client = HealthClient::new(channel);
    let response = client.check(HealthCheckRequest::default()).await;
    let status = response.expect("a response").into_inner().status;
    assert_eq!(status, ServingStatus::Serving as i32);

    let watch = client.watch(HealthCheckRequest::default()).await;
    let mut watch = watch.expect("a response").into_inner();
    let first = watch.message().await.expect("a status").expect("a status");
    assert_eq!(first.status, ServingStatus::Serving as i32);
    let stopping = tokio::task::spawn_blocking(|| stop(server));
    let last = watch.message().await.expect("a status").expect("a status");
    assert_eq!(last.status, ServingStatus::NotServing as i32);
    drop(watch);
    stopping.await.expect("the server stops");
}

#[tokio::test]
async fn a_stop_closes_a_websocket_with_a_close_frame() {
    let server = start(env!("CARGO_BIN_EXE_websocket"));
    let url = format!("ws://{}/echo", server.addr());
    let (mut socket, _response) = tokio_tungstenite::connect_async(url)
        .await
        .expect("the server upgrades the connection");
    socket.send("hello".into()).await.expect("it is open");
    let echo = socket.next().await.expect("it is open").expect("a message");
    assert_eq!(echo, Message::text("hello"));
    let stopping = tokio::task::spawn_blocking(|| stop(server));
    let last = socket.next().await.expect("a frame").expect("a frame");
    assert!(last.is_close(), "{last:?}");
    // The client answers the close frame while it reads the end.
    assert!(socket.next().await.is_none());
    stopping.await.expect("the server stops");
}

#[test]
fn a_stop_ends_a_stream_of_events() {
    let server = start(env!("CARGO_BIN_EXE_events"));
    let mut client = connect(&server);
    write!(client, "GET /events HTTP/1.1\r\nhost: a\r\n\r\n").expect("the server reads");
    let mut lines = BufReader::new(client).lines();
    let event = lines.find(|line| line.as_ref().is_ok_and(|line| line == "data: tick"));
    event.expect("an event").expect("an event");
    stop(server);
    let last = lines.last().expect("the end of the response");
    // The last chunk is empty, so the response is complete (RFC 9112, 7.1).
    assert_eq!(last.expect("the end of the response"), "");
}

#[test]
fn flags_set_the_options() {
    let server = Server::new(env!("CARGO_BIN_EXE_flags"))
        .arg("--listen=127.0.0.1:0")
        .arg("--workers=2")
        .arg("--grace=20s")
        .keep_listen()
        .start();
    server.wait_for_children(2);
    let response = get(&server);
    assert!(response.contains("\r\nhello from worker "), "{response}");
    let grace = |line: &str| line.ends_with(": stopping 2 workers within 20s");
    server.signal(prefork_testkit::Signal::SIGTERM);
    server.wait_for_log(grace);
    stop(server);
}

#[test]
fn wrong_flags_are_an_error() {
    let output = Server::new(env!("CARGO_BIN_EXE_flags"))
        .arg("--verbose")
        .run();
    assert_eq!(output.code(), Some(2), "{}", output.text());
    let output = Server::new(env!("CARGO_BIN_EXE_flags"))
        .arg("--workers=many")
        .run();
    assert_eq!(output.code(), Some(78), "{}", output.text());
    assert!(output.text().contains("workers"), "{}", output.text());
}
