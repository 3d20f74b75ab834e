//! A drain, with connections at every stage.

use std::io::Write;
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rustls::ClientConnection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::stage::{
    PATIENCE, TlsStage, ask, client_config, echo, name, on_each_runtime, poll_once, speak_tls,
    until, until_end,
};
use crate::net::{AcceptGate, DrainPolicy};

#[test]
fn queued_clients_are_served_although_no_task_is_in_accept() {
    on_each_runtime(|| async {
        let stage = TlsStage::new();
        assert!(stage.is_accept_pending().await);
        let mut queued = Vec::new();
        for _ in 0..5 {
            queued.push(stage.connect_plain().await);
        }
        stage.begin_drain();
        stage.until_closed().await;
        assert_eq!(stage.tracker.progress().unread, 5);
        stage.echo();
        for io in queued {
            ask(&mut speak_tls(io).await, b"hello").await;
        }
        until(async || stage.tracker.progress().unread == 0).await;
        assert!(stage.is_accept_pending().await);
    });
}

#[test]
fn a_queue_longer_than_the_handshake_limit_is_served() {
    on_each_runtime(|| async {
        let stage = TlsStage::with(|listener| listener.max_handshakes(2).protected(PATIENCE));
        assert!(stage.is_accept_pending().await);
        let mut queued = Vec::new();
        for _ in 0..9 {
            queued.push(stage.connect_plain().await);
        }
        let clients = queued
            .into_iter()
            .map(|io| tokio::spawn(async move { ask(&mut speak_tls(io).await, b"hello").await }));
        let clients: Vec<_> = clients.collect();
        stage.begin_drain();
        stage.echo();
        for client in clients {
            client.await.expect("an answer");
        }
        stage.until_closed().await;
    });
}

#[test]
fn an_option_that_is_set_after_the_first_accept_does_not_prevent_the_drain() {
    on_each_runtime(|| async {
        let mut stage = TlsStage::new();
        assert!(stage.is_accept_pending().await);
        stage.change(|listener| listener.handshake_timeout(PATIENCE));
        let _queued = stage.connect_plain().await;
        stage.begin_drain();
        stage.until_closed().await;
        assert_eq!(stage.tracker.progress().unread, 1);
    });
}

#[test]
fn the_queue_of_a_successor_is_not_emptied() {
    on_each_runtime(|| async {
        let stage = TlsStage::new();
        assert!(stage.is_accept_pending().await);
        stage.tracker.begin_drain(DrainPolicy {
            until: Instant::now() + std::time::Duration::from_secs(30),
            leaves_backlog: true,
            frees_address: false,
        });
        stage.until_closed().await;
        assert_eq!(stage.tracker.progress().unread, 0);
    });
}

#[test]
fn opening_the_gate_wakes_an_accept_and_no_connection_is_taken_before() {
    on_each_runtime(|| async {
        let stage = TlsStage::new();
        stage.tracker.close_gate(AcceptGate::Master);
        stage.echo();
        until(async || stage.accepts.load(Ordering::SeqCst) == 1).await;
        let mut queued = Vec::new();
        for _ in 0..3 {
            queued.push(stage.connect_plain().await);
        }
        // Give the tasks of the listener time to take them.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        assert_eq!(stage.tracker.progress().unread, 0);
        // A cancelled accept loses nothing.
        assert!(stage.is_accept_pending().await);
        stage.tracker.open_gate(AcceptGate::Master);
        for io in queued {
            ask(&mut speak_tls(io).await, b"hello").await;
        }
    });
}

#[test]
fn a_drain_at_a_closed_gate_leaves_the_queue() {
    on_each_runtime(|| async {
        let stage = TlsStage::new();
        stage.tracker.close_gate(AcceptGate::Master);
        assert!(stage.is_accept_pending().await);
        let copy = stage.listener.as_fd().try_clone_to_owned();
        let copy = std::net::TcpListener::from(copy.expect("descriptors"));
        let _queued = stage.connect_plain().await;
        stage.tracker.begin_drain(DrainPolicy {
            until: Instant::now() + PATIENCE,
            leaves_backlog: true,
            frees_address: false,
        });
        stage.until_closed().await;
        assert_eq!(stage.tracker.progress().unread, 0);
        copy.set_nonblocking(false).expect("a socket");
        copy.accept().expect("the client still waits");
    });
}

#[test]
fn accepting_ends_at_its_deadline_although_the_handshake_limit_is_reached() {
    on_each_runtime(|| async {
        let stage = TlsStage::with(|listener| listener.max_handshakes(1));
        let _first = stage.connect_plain().await;
        stage.let_in(1).await;
        let _second = stage.connect_plain().await;
        stage.tracker.begin_drain(DrainPolicy {
            until: Instant::now() + std::time::Duration::from_millis(50),
            leaves_backlog: false,
            frees_address: false,
        });
        until(async || stage.tracker.progress().listeners == 0).await;
        assert_eq!(stage.tracker.progress().unread, 1);
    });
}

#[test]
fn a_handshake_in_progress_finishes_and_is_unread_until_its_first_read() {
    on_each_runtime(|| async {
        let stage = TlsStage::new();
        let io = stage.connect_plain().await;
        stage.let_in(1).await;
        stage.begin_drain();
        stage.until_closed().await;
        assert!(!stage.tracker.has_readable());
        let earlier = stage.tracker.progress().last_activity;

        let mut client = speak_tls(io).await;
        let (mut stream, _) = stage.listener.accept().await.expect("a client");
        let progress = stage.tracker.progress();
        assert_eq!(progress.unread, 1, "only the handshake was read");
        assert!(progress.last_activity > earlier, "it was answered");

        client.write_all(b"hello").await.expect("a server");
        until(async || stage.tracker.has_readable()).await;
        let changes = stage.changes.load(Ordering::SeqCst);
        stream.read_exact(&mut [0; 5]).await.expect("a client");
        assert_eq!(stage.tracker.progress().unread, 0);
        assert!(stage.changes.load(Ordering::SeqCst) > changes);
    });
}

#[test]
fn the_last_activity_of_a_handshake_before_the_drain_is_known_in_the_drain() {
    on_each_runtime(|| async {
        for version in rustls::ALL_VERSIONS {
            let stage = TlsStage::new();
            let mut io = stage.connect_plain().await;
            stage.let_in(1).await;
            let mut session =
                ClientConnection::new(client_config(&[version]), name()).expect("a client");
            handshake_until_answered(&mut session, &mut io).await;
            let answered = stage.tracker.progress().last_activity;
            assert!(answered.is_some(), "its hello was answered");

            handshake(&mut session, &mut io).await;
            let _unread = stage.listener.accept().await.expect("a client");
            let complete = stage.tracker.progress().last_activity;
            assert!(
                complete > answered,
                "the end of the handshake is an activity"
            );
        }
    });
}

#[test]
fn the_end_of_a_handshake_is_reported_in_a_drain() {
    on_each_runtime(|| async {
        let stage = TlsStage::new();
        let mut io = stage.connect_plain().await;
        stage.let_in(1).await;
        stage.begin_drain();
        stage.until_closed().await;
        // With TLS 1.2 the client waits for the server's Finished before it sends a request.
        let config = client_config(&[&rustls::version::TLS12]);
        let mut session = ClientConnection::new(config, name()).expect("a client");
        handshake_until_answered(&mut session, &mut io).await;
        let answered = stage.tracker.progress().last_activity;
        let changes = stage.changes.load(Ordering::SeqCst);

        handshake(&mut session, &mut io).await;
        let _unread = stage.listener.accept().await.expect("a client");
        assert!(stage.tracker.progress().last_activity > answered);
        assert!(stage.changes.load(Ordering::SeqCst) > changes);
    });
}

#[test]
fn a_stalled_handshake_has_nothing_to_read() {
    on_each_runtime(|| async {
        let stage = TlsStage::new();
        let mut io = stage.connect_plain().await;
        stage.let_in(1).await;
        stage.begin_drain();
        stage.until_closed().await;
        until(async || stage.changes.load(Ordering::SeqCst) > 0).await;
        let changes = stage.changes.load(Ordering::SeqCst);
        // A part of a ClientHello is read and reported; then the client is silent again.
        io.write_all(&[22, 3, 1, 2]).await.expect("a server");
        until(async || {
            let is_reported = stage.changes.load(Ordering::SeqCst) > changes;
            is_reported && !stage.tracker.has_readable()
        })
        .await;
        // It counts as an activity: the rest may be on its way.
        assert!(stage.tracker.progress().last_activity.is_some());
        assert_eq!(stage.tracker.progress().unread, 1);
    });
}

#[test]
fn a_part_of_a_request_is_an_activity_and_a_read_without_bytes_is_none() {
    on_each_runtime(|| async {
        let stage = TlsStage::new();
        let io = stage.connect_plain().await;
        let client = tokio::spawn(speak_tls(io));
        let (mut stream, _) = stage.listener.accept().await.expect("a client");
        let mut client = client.await.expect("a handshake");
        stage.begin_drain();
        let mut buffer = [0; 64];
        let mut try_read = async || {
            let read = poll_once(pin!(stream.read(&mut buffer))).await;
            assert!(read.is_pending(), "nothing can be read");
            stage
                .tracker
                .progress()
                .last_activity
                .expect("it was answered")
        };
        let mut first = try_read().await;
        let again = try_read().await;
        // Other systems do not report whether bytes came.
        if cfg!(all(target_os = "linux", not(prefork_portable))) {
            assert_eq!(again, first);
        }
        first = again;
        // The header of a record of 80 bytes, and two of these (RFC 8446, 5.1).
        let (io, _) = client.get_mut();
        io.write_all(&[23, 3, 3, 0, 80, 1, 2])
            .await
            .expect("a server");
        until(async || try_read().await > first && !stage.tracker.has_readable()).await;
    });
}

#[test]
fn a_failed_handshake_is_not_waited_for() {
    on_each_runtime(|| async {
        let stage = TlsStage::new();
        let mut io = stage.connect_plain().await;
        stage.let_in(1).await;
        stage.begin_drain();
        stage.until_closed().await;
        io.write_all(b"GET / HTTP/1.1\r\n\r\n")
            .await
            .expect("a server");
        until_end(&mut io).await;
        assert_eq!(stage.tracker.progress().unread, 0);
    });
}

#[test]
fn a_request_that_came_with_the_handshake_counts_as_readable() {
    on_each_runtime(|| async {
        let stage = TlsStage::new();
        let mut io = stage.connect_plain().await;
        stage.let_in(1).await;
        let mut session = ClientConnection::new(client_config(&[&rustls::version::TLS13]), name())
            .expect("a client");
        // The session holds it back and sends it together with the end of the handshake.
        session.writer().write_all(b"hello").expect("a buffer");
        handshake(&mut session, &mut io).await;
        stage.begin_drain();
        let (mut stream, _) = stage.listener.accept().await.expect("a client");
        let nothing =
            socket2::SockRef::from(stream.get_ref().0).peek(&mut [std::mem::MaybeUninit::uninit()]);
        nothing.expect_err("the socket is empty");
        assert!(stage.tracker.has_readable());
        stream.read_exact(&mut [0; 5]).await.expect("a client");
        assert!(!stage.tracker.has_readable());
    });
}

#[test]
fn a_stream_that_was_dropped_or_unwrapped_is_not_waited_for() {
    on_each_runtime(|| async {
        let stage = TlsStage::new();
        let dropped = stage.client(b"");
        let (stream, _) = stage.listener.accept().await.expect("a client");
        assert_eq!(stage.tracker.progress().unread, 1);
        drop(stream);
        assert_eq!(stage.tracker.progress().unread, 0);
        dropped.await.expect("a client");

        let unwrapped = stage.client(b"");
        let (stream, _) = stage.listener.accept().await.expect("a client");
        let _inner = stream.into_inner();
        assert_eq!(stage.tracker.progress().unread, 0);
        unwrapped.await.expect("a client");
    });
}

#[test]
fn a_complete_handshake_is_returned_by_an_accept_after_the_drain_began() {
    on_each_runtime(|| async {
        let stage = TlsStage::new();
        let io = stage.connect_plain().await;
        stage.let_in(1).await;
        let mut client = speak_tls(io).await;
        stage.begin_drain();
        stage.until_closed().await;
        assert_eq!(stage.tracker.progress().unread, 1);
        let (stream, _) = stage.listener.accept().await.expect("a client");
        tokio::spawn(echo(stream));
        ask(&mut client, b"hello").await;
        assert!(stage.is_accept_pending().await);
    });
}

/// A client's handshake, with each flight as one write.
async fn handshake(session: &mut ClientConnection, io: &mut TcpStream) {
    loop {
        send(session, io).await;
        if !session.is_handshaking() {
            return;
        }
        receive(session, io).await;
    }
}

/// A client's handshake up to the server's flight, after which the client sends next.
async fn handshake_until_answered(session: &mut ClientConnection, io: &mut TcpStream) {
    send(session, io).await;
    while !session.wants_write() {
        receive(session, io).await;
    }
}

async fn send(session: &mut ClientConnection, io: &mut TcpStream) {
    let mut flight = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut flight).expect("memory");
    }
    io.write_all(&flight).await.expect("a server");
}

async fn receive(session: &mut ClientConnection, io: &mut TcpStream) {
    let mut received = [0; 4096];
    let count = io.read(&mut received).await.expect("a server");
    session.read_tls(&mut &received[..count]).expect("memory");
    session.process_new_packets().expect("a server");
}
