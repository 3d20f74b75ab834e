//! The limits of handshakes: their number and their time.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::stage::{
    PATIENCE, TlsStage, ask, connection, is_open, on_each_runtime, refuse, server_config,
    speak_tls, until, until_end,
};
use crate::tls::net::admission::{AdmissionDecision, RetryWhen};
use crate::tls::net::handshake_limits::{EvictAfter, HandshakeLimits};
use crate::tls::net::handshakes::Handshakes;

#[test]
fn a_handshake_is_aborted_after_its_timeout() {
    on_each_runtime(|| async {
        let stage =
            TlsStage::with(|listener| listener.handshake_timeout(Duration::from_millis(50)));
        let mut silent = stage.connect_plain().await;
        stage.echo();
        assert!(until_end(&mut silent).await.is_empty());
        assert_eq!(stage.tracker.progress().unread, 0);
    });
}

#[test]
fn each_handshake_has_its_own_timeout() {
    on_each_runtime(|| async {
        let limit = Duration::from_millis(100);
        let stage = TlsStage::with(|listener| listener.handshake_timeout(limit));
        let started = Instant::now();
        let mut first = stage.connect_plain().await;
        stage.let_in(1).await;
        tokio::time::sleep(limit / 2).await;
        let second_since = started.elapsed();
        let mut second = stage.connect_plain().await;
        stage.echo();
        until_end(&mut first).await;
        until_end(&mut second).await;
        assert!(started.elapsed() >= second_since + limit);
        // Once more after no handshake was in progress.
        let mut third = stage.connect_plain().await;
        until_end(&mut third).await;
    });
}

#[test]
fn a_timeout_that_is_set_after_the_first_accept_applies() {
    on_each_runtime(|| async {
        let mut stage = TlsStage::new();
        let mut silent = stage.connect_plain().await;
        stage.let_in(1).await;
        // Also while no task is in accept.
        stage.change(|listener| listener.handshake_timeout(Duration::from_millis(50)));
        assert!(until_end(&mut silent).await.is_empty());
    });
}

#[test]
fn accept_panics_on_a_runtime_without_time() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime");
    let accepted = std::panic::catch_unwind(|| {
        runtime.block_on(async { TlsStage::new().listener.accept().await.map(drop) })
    });
    accepted.expect_err("no handshake would ever time out");
}

#[test]
fn at_the_limit_only_the_oldest_handshake_is_evicted() {
    on_each_runtime(|| async {
        let (sender, failures) = std::sync::mpsc::channel();
        let stage = TlsStage::with(|listener| {
            listener
                .max_handshakes(2)
                .on_handshake_failure(move |peer, error| {
                    let _ = sender.send((peer, error.to_string()));
                })
        });
        let mut oldest = stage.connect_plain().await;
        stage.let_in(1).await;
        let second = stage.connect_plain().await;
        stage.let_in(2).await;
        stage.echo();
        let mut client = stage.connect().await;
        ask(&mut client, b"hello").await;
        assert!(until_end(&mut oldest).await.is_empty());
        assert!(is_open(&second));
        let mut failure = None;
        until(async || {
            failure = failures.try_recv().ok();
            failure.is_some()
        })
        .await;
        let reason = "the handshake was aborted in favor of a waiting client: max_handshakes or the limit of open files is reached";
        let reason = reason.to_owned();
        let peer = oldest.local_addr().expect("an address");
        assert_eq!(failure, Some((peer.into(), reason)));
        assert!(failures.try_recv().is_err(), "one failure");
    });
}

#[test]
fn a_failed_handshake_that_is_evicted_is_reported_once() {
    on_each_runtime(|| async {
        let (sender, failures) = std::sync::mpsc::channel();
        let stage = TlsStage::with(|listener| {
            listener
                .max_handshakes(1)
                .protected(Duration::ZERO)
                .on_handshake_failure(move |peer, error| {
                    let _ = sender.send((peer, error.kind()));
                })
        });
        let mut plain = stage.connect_plain().await;
        plain
            .write_all(b"GET / HTTP/1.1\r\n\r\n")
            .await
            .expect("a server");
        stage.echo();
        until_end(&mut plain).await;
        // It counts until its client closes or it is evicted.
        ask(&mut stage.connect().await, b"hello").await;
        let all: Vec<_> = failures.try_iter().collect();
        let peer = plain.local_addr().expect("an address");
        assert_eq!(all, [(peer.into(), std::io::ErrorKind::InvalidData)]);
    });
}

#[test]
fn a_slow_handshake_is_not_evicted_while_no_other_client_waits() {
    on_each_runtime(|| async {
        let stage = TlsStage::with(|listener| listener.max_handshakes(1));
        let slow = stage.connect_plain().await;
        stage.let_in(1).await;
        stage.echo();
        // Longer than the minimum age of an evicted handshake.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        ask(&mut speak_tls(slow).await, b"hello").await;
    });
}

#[test]
fn a_complete_handshake_counts_until_its_stream_is_returned() {
    on_each_runtime(|| async {
        let limits = HandshakeLimits {
            timeout: Duration::from_secs(10),
            max: 1,
            min_age: EvictAfter::ByQueue(Duration::from_secs(1)),
        };
        let handshakes = Arc::new(Handshakes::new(server_config(), limits));
        let (stream, peer, io) = connection().await;
        assert_eq!(
            handshakes.entry(Instant::now(), || 0),
            AdmissionDecision::Open(None)
        );

        handshakes.begin(stream, peer, None);
        let AdmissionDecision::Full(RetryWhen::At(old)) = handshakes.entry(Instant::now(), || 0)
        else {
            panic!("the limit is reached");
        };
        assert_eq!(
            handshakes.entry(old, || 0),
            AdmissionDecision::Open(Some(0))
        );

        let _client = speak_tls(io).await;
        // It is complete, but not returned: it is not evicted, however old it is.
        until(async || {
            handshakes.entry(old, || 0) == AdmissionDecision::Full(RetryWhen::WhenFreed)
        })
        .await;
        let _ = handshakes.next_finished().await;
        assert_eq!(handshakes.entry(old, || 0), AdmissionDecision::Open(None));
    });
}

#[test]
fn a_client_that_has_sent_nothing_is_evicted_before_one_that_has_sent_a_byte() {
    on_each_runtime(|| async {
        let limits = HandshakeLimits {
            timeout: PATIENCE,
            max: 2,
            min_age: EvictAfter::ByQueue(Duration::from_secs(1)),
        };
        let handshakes = Arc::new(Handshakes::new(server_config(), limits));
        let (stream, peer, begun) = connection().await;
        begun.try_write(&[22]).expect("a server");
        handshakes.begin(stream, peer, None);
        let (stream, peer, _silent) = connection().await;
        handshakes.begin(stream, peer, None);
        // While the tasks poll their sockets for the first time.
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let old = Instant::now() + PATIENCE;
            assert_eq!(
                handshakes.entry(old, || 1000),
                AdmissionDecision::Open(Some(1))
            );
        }
    });
}

/// On one thread, the task of the handshake cannot read the bytes before this test waits.
#[test]
fn a_handshake_with_unread_bytes_is_not_evicted() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let limits = HandshakeLimits {
            timeout: PATIENCE,
            max: 1,
            min_age: EvictAfter::ByQueue(Duration::from_secs(1)),
        };
        let handshakes = Arc::new(Handshakes::new(server_config(), limits));
        let (stream, peer, io) = connection().await;
        let old = Instant::now() + PATIENCE;
        handshakes.begin(stream, peer, None);
        let silent = handshakes.entry(old, || 1000);
        assert_eq!(silent, AdmissionDecision::Open(Some(0)));

        io.try_write(&[22]).expect("a server");
        let wait_until = std::time::Instant::now() + PATIENCE;
        while handshakes.entry(old, || 1000) != AdmissionDecision::Full(RetryWhen::WhenFreed) {
            assert!(std::time::Instant::now() < wait_until, "the byte arrives");
            std::thread::yield_now();
        }

        // The task reads the byte and waits for the rest of the ClientHello.
        until(async || handshakes.entry(old, || 1000) == AdmissionDecision::Open(Some(0))).await;
    });
}

#[test]
fn a_client_that_rejects_the_certificate_no_longer_counts() {
    on_each_runtime(|| async {
        // Nothing is evicted or times out: the next client is served only if this one does not
        // count.
        let stage = TlsStage::with(|listener| {
            let listener = listener.max_handshakes(1).protected(PATIENCE);
            listener.handshake_timeout(PATIENCE)
        });
        stage.echo();
        for version in rustls::ALL_VERSIONS {
            // The side of the client stays open.
            let mut rejecting = refuse(version, stage.connect_plain().await).await;
            ask(&mut stage.connect().await, b"hello").await;
            until_end(&mut rejecting).await;
        }
    });
}

#[test]
fn a_handshake_limit_of_0_means_1() {
    on_each_runtime(|| async {
        let stage = TlsStage::with(|listener| listener.max_handshakes(0));
        stage.echo();
        ask(&mut stage.connect().await, b"hello").await;
    });
}
