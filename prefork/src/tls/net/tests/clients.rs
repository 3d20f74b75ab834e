//! Clients that complete their handshake, and clients that do not.

use std::io::ErrorKind;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use prefork_options::Addr;
use rustls::AlertDescription;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::stage::{
    PATIENCE, TlsStage, ask, client_config, connection, echo, is_open, name, on_each_runtime,
    poll_once, refuse, server_config, speak_tls, until, until_end,
};
use crate::tls::net::handshake::{ReportProgress, handshake};
use crate::tls::net::handshake_limits::HandshakeStage;

#[test]
fn a_tls_client_is_answered() {
    on_each_runtime(|| async {
        let stage = TlsStage::new();
        stage.echo();
        let mut client = stage.connect().await;
        ask(&mut client, b"hello").await;
        assert_eq!(stage.accepts.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn clients_of_every_socket_are_answered_until_a_drain_closes_all() {
    on_each_runtime(|| async {
        let (stage, other) = TlsStage::with_two_sockets();
        stage.echo();
        let connect_other = || tokio::net::TcpStream::connect(other);
        let mut clients = [
            stage.connect().await,
            speak_tls(connect_other().await.expect("a listener")).await,
        ];
        for client in &mut clients {
            ask(client, b"hello").await;
        }
        stage.begin_drain();
        stage.until_closed().await;
        connect_other().await.expect_err("the socket is closed");
        for client in &mut clients {
            ask(client, b"still here").await;
        }
    });
}

#[test]
fn both_versions_of_tls_are_supported() {
    on_each_runtime(|| async {
        let stage = TlsStage::new();
        stage.echo();
        for version in rustls::ALL_VERSIONS {
            let connector = TlsConnector::from(client_config(&[version]));
            let io = stage.connect_plain().await;
            let mut client = connector.connect(name(), io).await.expect("a handshake");
            ask(&mut client, b"hello").await;
        }
    });
}

#[test]
fn a_stream_knows_its_peer_and_the_negotiated_parameters() {
    on_each_runtime(|| async {
        let stage = TlsStage::new();
        let io = stage.connect_plain().await;
        let client = tokio::spawn(speak_tls(io));
        let (stream, peer) = stage.listener.accept().await.expect("a client");
        let client = client.await.expect("a client");
        let addr = client.get_ref().0.local_addr().expect("an address");
        assert_eq!(peer, addr);
        assert_eq!(stream.peer_addr().expect("an address"), peer);
        assert_eq!(stream.alpn_protocol(), Some(b"echo".as_slice()));
        assert_eq!(stream.server_name(), Some("localhost"));
        assert!(stream.peer_certificates().is_none());
        assert!(stream.is_write_vectored());
        stream.set_nodelay(true).expect("a connection");
        let socket = socket2::SockRef::from(stream.get_ref().0);
        assert!(socket.tcp_nodelay().expect("a connection"));
        assert!(!stream.get_ref().1.is_handshaking());
    });
}

#[test]
fn a_stream_that_is_shut_down_sends_close_notify() {
    on_each_runtime(|| async {
        let stage = TlsStage::new();
        stage.echo();
        let mut client = stage.connect().await;
        ask(&mut client, b"last").await;
        client.shutdown().await.expect("a server");
        let mut rest = Vec::new();
        // Without `close_notify` this is an unexpected end.
        client.read_to_end(&mut rest).await.expect("a close_notify");
        assert!(rest.is_empty());
    });
}

#[test]
fn clients_that_stall_delay_no_other_client() {
    on_each_runtime(|| async {
        // The stalled handshakes do not time out while the other clients are served.
        let stage = TlsStage::with(|listener| listener.handshake_timeout(PATIENCE));
        stage.echo();
        let mut stalled = Vec::new();
        for number in 0..200 {
            let mut io = stage.connect_plain().await;
            if number % 2 == 0 {
                // The first bytes of a hello.
                io.write_all(&[22, 3, 1, 2]).await.expect("a server");
            }
            stalled.push(io);
        }
        let good: Vec<_> = (0..40).map(|_| stage.client(b"hello")).collect();
        for client in good {
            client.await.expect("an answer");
        }
        for io in stalled {
            assert!(is_open(&io));
        }
    });
}

#[test]
fn a_client_of_another_protocol_gets_an_alert_and_is_closed() {
    /// RFC 8446, 5.1 and 6.
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    on_each_runtime(|| async {
        let stage = TlsStage::new();
        stage.echo();
        let mut garbage = vec![0x80; 40_000];
        garbage[0] = 0;
        for bytes in [
            b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".as_slice(),
            &garbage,
        ] {
            let mut io = stage.connect_plain().await;
            io.write_all(bytes).await.expect("a server");
            let received = until_end(&mut io).await;
            assert_eq!((received[0], received[5]), (ALERT, FATAL), "{received:?}");
        }
        ask(&mut stage.connect().await, b"hello").await;
        until(async || stage.tracker.progress().unread == 0).await;
    });
}

#[test]
fn a_client_that_resets_is_closed() {
    on_each_runtime(|| async {
        let stage = TlsStage::new();
        stage.echo();
        for bytes in [[].as_slice(), &[22, 3, 1, 2]] {
            let mut io = stage.connect_plain().await;
            io.write_all(bytes).await.expect("a server");
            io.set_zero_linger().expect("a socket");
            drop(io);
        }
        ask(&mut stage.connect().await, b"hello").await;
        until(async || stage.tracker.progress().unread == 0).await;
    });
}

#[test]
fn the_callback_is_called_for_each_failed_handshake() {
    on_each_runtime(|| async {
        let (stage, failures) = stage_with_callback(PATIENCE);
        ask(&mut stage.connect().await, b"hello").await;

        let mut plain = stage.connect_plain().await;
        let request = b"GET / HTTP/1.1\r\n\r\n";
        plain.write_all(request).await.expect("a server");
        until_end(&mut plain).await;
        let (peer, kind, tls_error) = next(&failures).await;
        assert_eq!(peer, plain.local_addr().expect("an address"));
        assert_eq!(kind, ErrorKind::InvalidData);
        assert!(tls_error.is_some());

        let mut closed = stage.connect_plain().await;
        closed.shutdown().await.expect("a server");
        until_end(&mut closed).await;
        let peer = closed.local_addr().expect("an address");
        let failure = (peer.into(), ErrorKind::UnexpectedEof, None);
        assert_eq!(next(&failures).await, failure);
    });
}

#[test]
fn the_callback_is_called_for_each_timeout() {
    on_each_runtime(|| async {
        let (stage, failures) = stage_with_callback(Duration::from_millis(50));
        let mut silent = stage.connect_plain().await;
        until_end(&mut silent).await;
        let peer = silent.local_addr().expect("an address");
        let failure = (peer.into(), ErrorKind::TimedOut, None);
        assert_eq!(next(&failures).await, failure);
    });
}

#[test]
fn the_callback_gets_the_alert_of_a_client_that_rejects_the_certificate() {
    on_each_runtime(|| async {
        let (stage, failures) = stage_with_callback(PATIENCE);
        for version in rustls::ALL_VERSIONS {
            let mut rejecting = refuse(version, stage.connect_plain().await).await;
            until_end(&mut rejecting).await;
            let peer = rejecting.local_addr().expect("an address");
            let alert = rustls::Error::AlertReceived(AlertDescription::UnknownCA);
            let failure = (peer.into(), ErrorKind::InvalidData, Some(alert));
            assert_eq!(next(&failures).await, failure);
        }
    });
}

#[test]
fn only_a_client_that_was_sent_an_alert_gets_time_to_read_it() {
    on_each_runtime(|| async {
        let (stream, _, mut plain) = connection().await;
        let request = b"GET / HTTP/1.1\r\n\r\n";
        plain.write_all(request).await.expect("a server");
        let failed = handshake(stream, server_config(), &Unreported).await;
        let linger = failed.expect_err("no TLS").linger();
        assert!(poll_once(pin!(linger)).await.is_pending());

        for version in rustls::ALL_VERSIONS {
            let (stream, _, io) = connection().await;
            let rejecting = tokio::spawn(refuse(version, io));
            let failed = handshake(stream, server_config(), &Unreported).await;
            let linger = failed.expect_err("a refusal").linger();
            // The client has not closed its side.
            assert!(poll_once(pin!(linger)).await.is_ready());
            until_end(&mut rejecting.await.expect("a refusal")).await;
        }
    });
}

#[test]
fn handshakes_continue_while_no_task_is_in_accept() {
    on_each_runtime(|| async {
        let stage = TlsStage::new();
        let io = stage.connect_plain().await;
        stage.let_in(1).await;
        let mut client = speak_tls(io).await;
        let (stream, _) = stage.listener.accept().await.expect("a client");
        tokio::spawn(echo(stream));
        ask(&mut client, b"hello").await;
    });
}

#[test]
fn cancelled_accepts_lose_no_connection() {
    on_each_runtime(|| async {
        let stage = TlsStage::new();
        let clients: Vec<_> = (0..30).map(|_| stage.client(b"hello")).collect();
        let mut served = 0;
        until(async || {
            let accept = stage.listener.accept();
            if let Ok(accepted) = tokio::time::timeout(Duration::from_micros(300), accept).await {
                tokio::spawn(echo(accepted.expect("a client").0));
                served += 1;
            }
            served == 30
        })
        .await;
        for client in clients {
            client.await.expect("an answer");
        }
    });
}

#[test]
fn tasks_that_accept_at_the_same_time_share_the_clients() {
    on_each_runtime(|| async {
        // No handshake is evicted, however long it takes.
        let stage = TlsStage::with(|listener| listener.max_handshakes(3).protected(PATIENCE));
        for _ in 0..4 {
            stage.echo();
        }
        let clients: Vec<_> = (0..60).map(|_| stage.client(b"hello")).collect();
        for client in clients {
            client.await.expect("an answer");
        }
    });
}

#[test]
fn a_listener_that_is_dropped_closes_everything() {
    on_each_runtime(|| async {
        let stage = TlsStage::new();
        let mut silent = stage.connect_plain().await;
        let io = stage.connect_plain().await;
        stage.let_in(2).await;
        // The second handshake completes, and no accept returns its stream.
        let mut client = speak_tls(io).await;
        let TlsStage {
            listener, tracker, ..
        } = stage;
        drop(listener);
        assert!(until_end(&mut silent).await.is_empty());
        assert!(matches!(client.read(&mut [0]).await, Err(_) | Ok(0)));
        until(async || tracker.progress().unread == 0).await;
        assert_eq!(tracker.progress().listeners, 0);
    });
}

/// Ignores the progress of a handshake.
struct Unreported;

impl ReportProgress for Unreported {
    fn client_sent(&self) {}

    fn waits_for_client(&self, _: HandshakeStage) {}
}

/// The arguments of the callback: the client, the kind of the error and the TLS error inside.
type Failed = (Addr, ErrorKind, Option<rustls::Error>);

/// A stage that echoes, and the calls of its callback.
fn stage_with_callback(timeout: Duration) -> (TlsStage, mpsc::Receiver<Failed>) {
    let (sender, failures) = mpsc::channel();
    let stage = TlsStage::with(|listener| {
        listener
            .handshake_timeout(timeout)
            .on_handshake_failure(move |peer, error| {
                let inner = error.get_ref();
                let tls_error = inner.and_then(|inner| inner.downcast_ref().cloned());
                let _ = sender.send((peer, error.kind(), tls_error));
            })
    });
    stage.echo();
    (stage, failures)
}

async fn next(failures: &mpsc::Receiver<Failed>) -> Failed {
    let mut failure = None;
    until(async || {
        failure = failures.try_recv().ok();
        failure.is_some()
    })
    .await;
    failure.expect("it was waited for")
}
