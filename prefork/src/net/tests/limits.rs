//! How many handshakes there may be, and for how long.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::stage::{
    PATIENCE, Stage, ask, connection, is_open, on_each_runtime, refuse, server_config, speak_tls,
    until, until_end,
};
use crate::net::admission::{AskAgain, Entry, Limits, Protection};
use crate::net::handshakes::Handshakes;

#[test]
fn a_handshake_ends_with_its_time() {
    on_each_runtime(|| async {
        let stage = Stage::with(|listener| listener.handshake_timeout(Duration::from_millis(50)));
        let mut silent = stage.connect_plain().await;
        stage.echo();
        assert!(until_end(&mut silent).await.is_empty());
        assert_eq!(stage.intake.census().unread, 0);
    });
}

#[test]
fn everybody_has_a_time_of_his_own() {
    on_each_runtime(|| async {
        let limit = Duration::from_millis(100);
        let stage = Stage::with(|listener| listener.handshake_timeout(limit));
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
        // Once more after nobody was there.
        let mut third = stage.connect_plain().await;
        until_end(&mut third).await;
    });
}

#[test]
fn a_time_that_is_said_late_counts_as_well() {
    on_each_runtime(|| async {
        let mut stage = Stage::new();
        let mut silent = stage.connect_plain().await;
        stage.let_in(1).await;
        // Also while nobody is in accept.
        stage.change(|listener| listener.handshake_timeout(Duration::from_millis(50)));
        assert!(until_end(&mut silent).await.is_empty());
    });
}

#[test]
fn a_runtime_without_time_is_refused_at_once() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime");
    let accepted = std::panic::catch_unwind(|| {
        runtime.block_on(async { Stage::new().listener.accept().await.map(drop) })
    });
    accepted.expect_err("no handshake would ever time out");
}

#[test]
fn at_the_limit_the_oldest_gives_way_and_no_other() {
    on_each_runtime(|| async {
        let (told, failures) = std::sync::mpsc::channel();
        let stage = Stage::with(|listener| {
            listener
                .max_handshakes(2)
                .on_handshake_failure(move |peer, error| {
                    let _ = told.send((peer, error.to_string()));
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
        let why = "the handshake gave way to a waiting client: max_handshakes or the limit of open files is reached";
        let why = why.to_owned();
        let peer = oldest.local_addr().expect("an address");
        assert_eq!(failure, Some((peer, why)));
        assert!(failures.try_recv().is_err(), "of no other");
    });
}

#[test]
fn a_failure_is_told_once_whatever_ends_the_client_that_still_reads_it() {
    on_each_runtime(|| async {
        let (told, failures) = std::sync::mpsc::channel();
        let stage = Stage::with(|listener| {
            listener
                .max_handshakes(1)
                .protected(Duration::ZERO)
                .on_handshake_failure(move |peer, error| {
                    let _ = told.send((peer, error.kind()));
                })
        });
        let mut plain = stage.connect_plain().await;
        plain
            .write_all(b"GET / HTTP/1.1\r\n\r\n")
            .await
            .expect("a server");
        stage.echo();
        until_end(&mut plain).await;
        // It keeps its place until it closes, or gives way.
        ask(&mut stage.connect().await, b"hello").await;
        let all: Vec<_> = failures.try_iter().collect();
        let peer = plain.local_addr().expect("an address");
        assert_eq!(all, [(peer, std::io::ErrorKind::InvalidData)]);
    });
}

#[test]
fn who_has_nobody_behind_keeps_its_place() {
    on_each_runtime(|| async {
        let stage = Stage::with(|listener| listener.max_handshakes(1));
        let slow = stage.connect_plain().await;
        stage.let_in(1).await;
        stage.echo();
        // Longer than the oldest is protected, where others wait.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        ask(&mut speak_tls(slow).await, b"hello").await;
    });
}

#[test]
fn a_place_is_free_again_when_the_connection_is_collected() {
    on_each_runtime(|| async {
        let limits = Limits {
            timeout: Duration::from_secs(10),
            max: 1,
            protection: Protection::ByQueue(Duration::from_secs(1)),
        };
        let handshakes = Arc::new(Handshakes::new(server_config(), limits));
        let (stream, peer, io) = connection().await;
        assert_eq!(handshakes.entry(Instant::now(), || 0), Entry::Open(None));

        handshakes.begin(stream, peer, None);
        let Entry::Full(AskAgain::AtTheLatest(old)) = handshakes.entry(Instant::now(), || 0) else {
            panic!("the only place is taken");
        };
        assert_eq!(handshakes.entry(old, || 0), Entry::Open(Some(0)));

        let _client = speak_tls(io).await;
        // Through, but nobody has it: it does not give way, however old it gets.
        until(async || handshakes.entry(old, || 0) == Entry::Full(AskAgain::WhenRoomIsMade)).await;
        let _ = handshakes.next_finished().await;
        assert_eq!(handshakes.entry(old, || 0), Entry::Open(None));
    });
}

#[test]
fn a_client_that_has_sent_nothing_gives_way_before_one_that_has_sent_a_byte() {
    on_each_runtime(|| async {
        let limits = Limits {
            timeout: PATIENCE,
            max: 2,
            protection: Protection::ByQueue(Duration::from_secs(1)),
        };
        let handshakes = Arc::new(Handshakes::new(server_config(), limits));
        let (stream, peer, begun) = connection().await;
        begun.try_write(&[22]).expect("a server");
        handshakes.begin(stream, peer, None);
        let (stream, peer, _silent) = connection().await;
        handshakes.begin(stream, peer, None);
        // Until the tasks have read what there is, also that there is nothing.
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let old = Instant::now() + PATIENCE;
            assert_eq!(handshakes.entry(old, || 1000), Entry::Open(Some(1)));
        }
    });
}

/// On one thread, the task of the handshake cannot read the bytes before this test waits.
#[test]
fn a_handshake_with_unread_bytes_does_not_give_way() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let limits = Limits {
            timeout: PATIENCE,
            max: 1,
            protection: Protection::ByQueue(Duration::from_secs(1)),
        };
        let handshakes = Arc::new(Handshakes::new(server_config(), limits));
        let (stream, peer, io) = connection().await;
        let old = Instant::now() + PATIENCE;
        handshakes.begin(stream, peer, None);
        let silent = handshakes.entry(old, || 1000);
        assert_eq!(silent, Entry::Open(Some(0)));

        io.try_write(&[22]).expect("a server");
        let wait_until = std::time::Instant::now() + PATIENCE;
        while handshakes.entry(old, || 1000) != Entry::Full(AskAgain::WhenRoomIsMade) {
            assert!(std::time::Instant::now() < wait_until, "the byte arrives");
            std::thread::yield_now();
        }

        // The task reads the byte, and waits for the rest of the hello.
        until(async || handshakes.entry(old, || 1000) == Entry::Open(Some(0))).await;
    });
}

#[test]
fn a_client_that_refuses_us_leaves_its_place_to_the_next() {
    on_each_runtime(|| async {
        // Nobody gives way: the place is free by itself, or never.
        let stage = Stage::with(|listener| {
            let listener = listener.max_handshakes(1).protected(PATIENCE);
            listener.handshake_timeout(PATIENCE)
        });
        stage.echo();
        for version in rustls::ALL_VERSIONS {
            // Its side stays open.
            let mut refusing = refuse(version, stage.connect_plain().await).await;
            ask(&mut stage.connect().await, b"hello").await;
            until_end(&mut refusing).await;
        }
    });
}

#[test]
fn nobody_has_no_place_at_all() {
    on_each_runtime(|| async {
        let stage = Stage::with(|listener| listener.max_handshakes(0));
        stage.echo();
        ask(&mut stage.connect().await, b"hello").await;
    });
}
