//! Answers of the servers that the tests start.

use std::future::{Ready, ready};
use std::io::{self, Read, Write};
use std::process;
use std::time::Duration;

use axum::extract::{Query, State};
use prefork::Worker;
use prefork::net::{Listener, Socket};

/// Names the worker. [`slot_and_pid`](crate::client::slot_and_pid) reads it.
pub fn name_of(worker: &Worker) -> String {
    let pid = process::id();
    format!("hello from worker {} (pid {pid})\n", worker.slot())
}

/// A handler that names the worker.
pub fn hello(State(worker): State<Worker>) -> Ready<String> {
    ready(name_of(&worker))
}

/// The query of [`slow`].
#[derive(serde::Deserialize)]
pub struct Slow {
    ms: u64,
}

/// A handler that names the worker after some time: `/slow?ms=1000`.
pub async fn slow(State(worker): State<Worker>, Query(slow): Query<Slow>) -> String {
    tokio::time::sleep(Duration::from_millis(slow.ms)).await;
    name_of(&worker)
}

/// Answers one request on each connection, with this body and the pid in a header.
///
/// # Errors
/// The listener cannot accept.
pub fn serve_blocking(listener: &Listener, body: impl Fn() -> String) -> io::Result<()> {
    while let Some(connection) = listener.blocking_accept() {
        let (stream, _) = connection?;
        // A client that has closed its connection does not end the worker.
        let _ = answer(stream.into_inner(), &body);
    }
    Ok(())
}

fn answer(mut stream: Socket, body: impl Fn() -> String) -> io::Result<()> {
    let mut head = Vec::new();
    let mut part = [0; 512];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut part)? {
            0 => return Ok(()),
            length => head.extend_from_slice(&part[..length]),
        }
    }
    let (pid, body) = (process::id(), body());
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\nx-worker-pid: {pid}");
    let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes())
}
