//! The standard library alone: no async runtime, a thread per connection.

use std::io::{self, BufRead, BufReader, Write};
use std::thread;

use prefork::net::{Listener, Stream};

#[prefork::main(listen = "127.0.0.1:8080", workers = 2, shutdown_grace_period = "5s")]
fn main(listener: Listener) -> io::Result<()> {
    // The scope waits for its threads, so all answers are finished before the worker exits.
    thread::scope(|scope| {
        // The iterator ends when the worker was asked to stop and the queue is empty.
        for stream in listener.blocking_incoming() {
            let stream = stream?;
            // The result is ignored: an error of one client must not end the worker.
            scope.spawn(|| answer(stream));
        }
        Ok(())
    })
}

fn answer(stream: Stream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    // Reads the head of the request, which ends with an empty line.
    loop {
        line.clear();
        match stream.read_line(&mut line)? {
            // The client has closed its side, or was silent when the worker was asked to stop.
            0 => return Ok(()),
            1..=2 => break,
            _ => {}
        }
    }
    let text = format!("hello from pid {}\n", std::process::id());
    let length = text.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    write!(stream.into_inner(), "{head}{text}")
}
