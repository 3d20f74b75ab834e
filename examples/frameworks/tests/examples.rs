//! Each example answers a client of its protocol, and stops in time.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prefork_testkit::load::Load;
use prefork_testkit::{ChildInfo, RunningServer, Server, Signal, eventually};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
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

fn stop(server: RunningServer) {
    stop_after(server, 2);
}

/// Stops a server of which this many workers have run.
fn stop_after(mut server: RunningServer, workers: usize) {
    let began = Instant::now();
    let status = server.stop();
    let log = server.final_log();
    assert!(status.success(), "{log:#?}");
    assert!(began.elapsed() < STOP_LIMIT, "{log:#?}");
    let exits = log.iter().filter(|line| line.ends_with(", as requested"));
    assert_eq!(exits.count(), workers, "{log:#?}");
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

/// Sends requests on 16 connections with 8 streams each, until it is done. After GOAWAY, the
/// clients connect again.
async fn http2_load(addr: SocketAddr, is_done: Arc<AtomicBool>) -> (usize, Vec<String>) {
    let connection = async || {
        let (mut answered, mut failed) = (0, Vec::new());
        while !is_done.load(Ordering::Relaxed) {
            let stream = tokio::net::TcpStream::connect(addr).await;
            let stream = TokioIo::new(stream.expect("the server listens"));
            let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
            let (client, connection) = handshake.await.expect("the server speaks HTTP/2");
            tokio::spawn(connection);
            let stream = |_| http2_stream(addr, client.clone(), &is_done);
            for (count, error) in futures_util::future::join_all((0..8).map(stream)).await {
                answered += count;
                failed.extend(error);
            }
        }
        (answered, failed)
    };
    let all = futures_util::future::join_all((0..16).map(|_| connection())).await;
    let answered = all.iter().map(|(answered, _)| answered).sum();
    (
        answered,
        all.into_iter().flat_map(|(_, failed)| failed).collect(),
    )
}

/// Whether the server has not processed the request, so that clients send it again.
///
/// It was not sent, or it came after the last one that the server answers on this connection (RFC
/// 9113, section 6.8).
fn is_unprocessed(error: &hyper::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref());
    let is_after_goaway = source.is_some_and(|error: &h2::Error| {
        error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
    });
    error.is_canceled() || error.is_closed() || is_after_goaway
}

/// Sends requests until the connection takes no more. Returns how many were answered.
async fn http2_stream(
    addr: SocketAddr,
    mut client: SendRequest<Empty<Bytes>>,
    is_done: &AtomicBool,
) -> (usize, Option<String>) {
    let mut answered = 0;
    while !is_done.load(Ordering::Relaxed) {
        let request = hyper::Request::get(format!("http://{addr}/"));
        let request = request.body(Empty::new()).expect("a request");
        let body = match client.send_request(request).await {
            Ok(response) => response.into_body().collect().await,
            Err(error) if is_unprocessed(&error) => break,
            Err(error) => Err(error),
        };
        match body {
            Ok(_) => answered += 1,
            Err(error) => return (answered, Some(format!("{error:?}"))),
        }
    }
    (answered, None)
}

/// Three rollouts, each after the last worker of the previous one has exited.
fn roll_out_three_times(server: &RunningServer) {
    for count in 1..=3 {
        server.signal(Signal::SIGHUP);
        eventually("a verdict and the end of the old workers", || {
            let log = server.log();
            let accepted = log.iter().filter(|line| line.contains("rollout accepted"));
            (accepted.count() == count && server.processes().len() == 5).then_some(())
        });
    }
}

fn start_rolling(program: &str) -> RunningServer {
    let server = Server::new(program)
        .env("PREFORK_WORKERS", "4")
        .env("PREFORK_ROLLOUT_SOAK", "100ms")
        .env("PREFORK_ROLLOUT_PARALLEL", "50%")
        .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "1m")
        .start();
    server.wait_for_children(4);
    server
}

#[tokio::test]
async fn three_rollouts_fail_no_request_on_streams_of_http_2() {
    let mut server = start_rolling(env!("CARGO_BIN_EXE_hyper"));
    let is_done = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(http2_load(server.addr(), Arc::clone(&is_done)));
    let rolling = tokio::task::spawn_blocking(move || {
        roll_out_three_times(&server);
        is_done.store(true, Ordering::Relaxed);
        server.stop()
    });
    let (answered, failed) = load.await.expect("the task does not panic");
    println!("{answered} requests answered");
    assert_eq!(failed, [""; 0]);
    assert!(answered > 1_000, "{answered}");
    assert!(rolling.await.expect("no panic").success());
}

#[test]
fn three_rollouts_fail_no_request_on_kept_connections_of_http_1() {
    let mut server = start_rolling(env!("CARGO_BIN_EXE_hyper"));
    let load = Load::new(server.addr()).connections(16).start();
    load.wait_for_answers(100);
    roll_out_three_times(&server);
    load.wait_for_answers(100);
    let report = load.stop();
    report.assert_no_failures();
    println!("{report}");
    assert!(server.stop().success());
}

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

async fn open_websocket(server: &RunningServer) -> Socket {
    let url = format!("ws://{}/echo", server.addr());
    let (mut socket, _response) = tokio_tungstenite::connect_async(url)
        .await
        .expect("the server upgrades the connection");
    socket.send("hello".into()).await.expect("it is open");
    let echo = socket.next().await.expect("it is open").expect("a message");
    assert_eq!(echo, Message::text("hello"));
    // The next message is on its way when the worker begins to drain.
    socket.send("last".into()).await.expect("it is open");
    socket
}

/// The last message is answered, and then the server closes the socket with code 1012.
async fn assert_restarts(mut socket: Socket) {
    let echo = socket.next().await.expect("it is open").expect("a message");
    assert_eq!(echo, Message::text("last"));
    let last = socket.next().await.expect("a frame").expect("a frame");
    let Message::Close(Some(frame)) = last else {
        panic!("{last:?}");
    };
    assert_eq!(frame.code, CloseCode::Restart);
    // The client answers the close frame while it reads the end.
    assert!(socket.next().await.is_none());
}

#[tokio::test]
async fn a_stop_closes_a_websocket_with_code_1012() {
    let server = start(env!("CARGO_BIN_EXE_websocket"));
    let socket = open_websocket(&server).await;
    let stopping = tokio::task::spawn_blocking(|| stop(server));
    assert_restarts(socket).await;
    stopping.await.expect("the server stops");
}

#[tokio::test]
async fn a_rollout_closes_a_websocket_with_code_1012() {
    let server = Server::new(env!("CARGO_BIN_EXE_websocket"))
        .env("PREFORK_WORKERS", "2")
        .env("PREFORK_ROLLOUT_SOAK", "0s")
        .start();
    let old = server.wait_for_children(2);
    let socket = open_websocket(&server).await;
    server.signal(Signal::SIGHUP);
    assert_restarts(socket).await;
    let is_new = |new: ChildInfo| old.iter().all(|old| old.pid != new.pid);
    eventually("new workers", || {
        server.children().into_iter().all(is_new).then_some(())
    });
    let socket = open_websocket(&server).await;
    let stopping = tokio::task::spawn_blocking(|| stop_after(server, 4));
    assert_restarts(socket).await;
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
    server.signal(Signal::SIGTERM);
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
