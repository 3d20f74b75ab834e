//! What becomes of connections, wherever they are, when the worker is asked to go.

use std::io::Write;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rustls::ClientConnection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::stage::{
    PATIENCE, Stage, ask, client_config, echo, name, on_each_runtime, poll_once, speak_tls, until,
    until_end,
};
use crate::net::DrainOrder;

#[test]
fn who_waits_in_the_queue_is_served_although_nobody_accepts_at_the_moment() {
    on_each_runtime(|| async {
        let stage = Stage::new();
        assert!(stage.is_accept_pending().await);
        let mut queued = Vec::new();
        for _ in 0..5 {
            queued.push(stage.connect_plain().await);
        }
        stage.begin_drain();
        stage.until_closed().await;
        assert_eq!(stage.intake.census().unread, 5);
        stage.echo();
        for io in queued {
            ask(&mut speak_tls(io).await, b"hello").await;
        }
        until(async || stage.intake.census().unread == 0).await;
        assert!(stage.is_accept_pending().await);
    });
}

#[test]
fn a_longer_queue_than_there_are_places_is_served() {
    on_each_runtime(|| async {
        let stage = Stage::with(|listener| listener.max_handshakes(2).protected(PATIENCE));
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
fn a_limit_that_is_said_late_does_not_end_the_care_for_the_queue() {
    on_each_runtime(|| async {
        let mut stage = Stage::new();
        assert!(stage.is_accept_pending().await);
        stage.change(|listener| listener.handshake_timeout(PATIENCE));
        let _queued = stage.connect_plain().await;
        stage.begin_drain();
        stage.until_closed().await;
        assert_eq!(stage.intake.census().unread, 1);
    });
}

#[test]
fn a_successors_queue_is_left_alone() {
    on_each_runtime(|| async {
        let stage = Stage::new();
        assert!(stage.is_accept_pending().await);
        stage.intake.begin_drain(DrainOrder {
            until: Instant::now() + std::time::Duration::from_secs(30),
            leaves_queue: true,
            frees_address: false,
        });
        stage.until_closed().await;
        assert_eq!(stage.intake.census().unread, 0);
    });
}

#[test]
fn the_end_of_accepting_comes_with_its_time_where_there_is_no_room() {
    on_each_runtime(|| async {
        let stage = Stage::with(|listener| listener.max_handshakes(1));
        let _first = stage.connect_plain().await;
        stage.let_in(1).await;
        let _second = stage.connect_plain().await;
        stage.intake.begin_drain(DrainOrder {
            until: Instant::now() + std::time::Duration::from_millis(50),
            leaves_queue: false,
            frees_address: false,
        });
        until(async || stage.intake.census().listeners == 0).await;
        assert_eq!(stage.intake.census().unread, 1);
    });
}

#[test]
fn a_handshake_that_goes_on_finishes_and_is_unread_until_its_first_read() {
    on_each_runtime(|| async {
        let stage = Stage::new();
        let io = stage.connect_plain().await;
        stage.let_in(1).await;
        stage.begin_drain();
        stage.until_closed().await;
        assert!(!stage.intake.has_waiting());
        let before = stage.intake.census().last_word;

        let mut client = speak_tls(io).await;
        let (mut stream, _) = stage.listener.accept().await.expect("a client");
        let census = stage.intake.census();
        assert_eq!(census.unread, 1, "only the handshake was read");
        assert!(census.last_word > before, "it was answered");

        client.write_all(b"hello").await.expect("a server");
        until(async || stage.intake.has_waiting()).await;
        let changes = stage.changes.load(Ordering::SeqCst);
        stream.read_exact(&mut [0; 5]).await.expect("a client");
        assert_eq!(stage.intake.census().unread, 0);
        assert!(stage.changes.load(Ordering::SeqCst) > changes);
    });
}

#[test]
fn what_was_said_in_a_handshake_before_the_drain_is_known_in_it() {
    on_each_runtime(|| async {
        for version in rustls::ALL_VERSIONS {
            let stage = Stage::new();
            let mut io = stage.connect_plain().await;
            stage.let_in(1).await;
            let mut session =
                ClientConnection::new(client_config(&[version]), name()).expect("a client");
            speak_until_answered(&mut session, &mut io).await;
            let answered = stage.intake.census().last_word;
            assert!(answered.is_some(), "its hello was answered");

            speak(&mut session, &mut io).await;
            let _unread = stage.listener.accept().await.expect("a client");
            let over = stage.intake.census().last_word;
            assert!(over > answered, "our last word gives it time anew");
        }
    });
}

#[test]
fn the_last_word_of_a_handshake_is_told_in_a_drain() {
    on_each_runtime(|| async {
        let stage = Stage::new();
        let mut io = stage.connect_plain().await;
        stage.let_in(1).await;
        stage.begin_drain();
        stage.until_closed().await;
        // It waits for our last word before it sends a request.
        let config = client_config(&[&rustls::version::TLS12]);
        let mut session = ClientConnection::new(config, name()).expect("a client");
        speak_until_answered(&mut session, &mut io).await;
        let answered = stage.intake.census().last_word;
        let changes = stage.changes.load(Ordering::SeqCst);

        speak(&mut session, &mut io).await;
        let _unread = stage.listener.accept().await.expect("a client");
        assert!(stage.intake.census().last_word > answered);
        assert!(stage.changes.load(Ordering::SeqCst) > changes);
    });
}

#[test]
fn a_stalled_handshake_does_not_seem_to_have_something_to_read() {
    on_each_runtime(|| async {
        let stage = Stage::new();
        let mut io = stage.connect_plain().await;
        stage.let_in(1).await;
        stage.begin_drain();
        stage.until_closed().await;
        until(async || stage.changes.load(Ordering::SeqCst) > 0).await;
        let changes = stage.changes.load(Ordering::SeqCst);
        // A part of a hello: read, and then there is silence again, of which the drain is told.
        io.write_all(&[22, 3, 1, 2]).await.expect("a server");
        until(async || {
            let is_told = stage.changes.load(Ordering::SeqCst) > changes;
            is_told && !stage.intake.has_waiting()
        })
        .await;
        // As if we had said something: the rest may be on its way.
        assert!(stage.intake.census().last_word.is_some());
        assert_eq!(stage.intake.census().unread, 1);
    });
}

#[test]
fn a_part_of_a_request_is_a_word_and_a_look_for_one_is_none() {
    on_each_runtime(|| async {
        let stage = Stage::new();
        let io = stage.connect_plain().await;
        let client = tokio::spawn(speak_tls(io));
        let (mut stream, _) = stage.listener.accept().await.expect("a client");
        let mut client = client.await.expect("a handshake");
        stage.begin_drain();
        let mut buffer = [0; 64];
        let mut look = async || {
            let read = poll_once(pin!(stream.read(&mut buffer))).await;
            assert!(read.is_pending(), "nothing can be read");
            stage.intake.census().last_word.expect("it was answered")
        };
        let mut first = look().await;
        let again = look().await;
        // Others do not say whether any bytes came.
        if cfg!(all(target_os = "linux", not(prefork_portable))) {
            assert_eq!(again, first);
        }
        first = again;
        // The head of a record of 80 bytes, and two of them (RFC 8446, 5.1).
        let (io, _) = client.get_mut();
        io.write_all(&[23, 3, 3, 0, 80, 1, 2])
            .await
            .expect("a server");
        until(async || look().await > first && !stage.intake.has_waiting()).await;
    });
}

#[test]
fn a_handshake_that_fails_is_waited_for_no_longer() {
    on_each_runtime(|| async {
        let stage = Stage::new();
        let mut io = stage.connect_plain().await;
        stage.let_in(1).await;
        stage.begin_drain();
        stage.until_closed().await;
        io.write_all(b"GET / HTTP/1.1\r\n\r\n")
            .await
            .expect("a server");
        until_end(&mut io).await;
        assert_eq!(stage.intake.census().unread, 0);
    });
}

#[test]
fn a_request_that_came_with_the_handshake_is_known_to_wait() {
    on_each_runtime(|| async {
        let stage = Stage::new();
        let mut io = stage.connect_plain().await;
        stage.let_in(1).await;
        let mut session = ClientConnection::new(client_config(&[&rustls::version::TLS13]), name())
            .expect("a client");
        // Held back until it may be sent, and sent together with the last word of the handshake.
        session.writer().write_all(b"hello").expect("a buffer");
        speak(&mut session, &mut io).await;
        stage.begin_drain();
        let (mut stream, _) = stage.listener.accept().await.expect("a client");
        let nothing = stream
            .get_ref()
            .0
            .try_io(tokio::io::Interest::READABLE, || {
                socket2::SockRef::from(stream.get_ref().0)
                    .peek(&mut [std::mem::MaybeUninit::uninit()])
            });
        nothing.expect_err("the socket is empty");
        assert!(stage.intake.has_waiting());
        stream.read_exact(&mut [0; 5]).await.expect("a client");
        assert!(!stage.intake.has_waiting());
    });
}

#[test]
fn a_stream_that_is_dropped_or_given_away_is_waited_for_no_longer() {
    on_each_runtime(|| async {
        let stage = Stage::new();
        let dropped = stage.client(b"");
        let (stream, _) = stage.listener.accept().await.expect("a client");
        assert_eq!(stage.intake.census().unread, 1);
        drop(stream);
        assert_eq!(stage.intake.census().unread, 0);
        dropped.await.expect("a client");

        let given_away = stage.client(b"");
        let (stream, _) = stage.listener.accept().await.expect("a client");
        let _inner = stream.into_inner();
        assert_eq!(stage.intake.census().unread, 0);
        given_away.await.expect("a client");
    });
}

#[test]
fn a_connection_that_nobody_has_collected_yet_is_given_after_the_drain_began() {
    on_each_runtime(|| async {
        let stage = Stage::new();
        let io = stage.connect_plain().await;
        stage.let_in(1).await;
        let mut client = speak_tls(io).await;
        stage.begin_drain();
        stage.until_closed().await;
        assert_eq!(stage.intake.census().unread, 1);
        let (stream, _) = stage.listener.accept().await.expect("a client");
        tokio::spawn(echo(stream));
        ask(&mut client, b"hello").await;
        assert!(stage.is_accept_pending().await);
    });
}

/// A client's handshake, each flight of it as one write.
async fn speak(session: &mut ClientConnection, io: &mut TcpStream) {
    loop {
        say(session, io).await;
        if !session.is_handshaking() {
            return;
        }
        hear(session, io).await;
    }
}

/// A client's handshake up to the server's flight; it is the client's turn then.
async fn speak_until_answered(session: &mut ClientConnection, io: &mut TcpStream) {
    say(session, io).await;
    while !session.wants_write() {
        hear(session, io).await;
    }
}

async fn say(session: &mut ClientConnection, io: &mut TcpStream) {
    let mut flight = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut flight).expect("memory");
    }
    io.write_all(&flight).await.expect("a server");
}

async fn hear(session: &mut ClientConnection, io: &mut TcpStream) {
    let mut heard = [0; 4096];
    let count = io.read(&mut heard).await.expect("a server");
    session.read_tls(&mut &heard[..count]).expect("memory");
    session.process_new_packets().expect("a server");
}
