//! A small HTTP server. The response contains the pid of the worker, which a load reads.

use std::io::{BufRead, BufReader, Result, Write};

use prefork::net::{Listener, Stream};

#[prefork::main(listen = "127.0.0.1:8080", workers = 2)]
fn main(listener: Listener) -> Result<()> {
    while let Some(connection) = listener.blocking_accept() {
        let (stream, _) = connection?;
        std::thread::spawn(|| {
            // The client may have closed the connection.
            let _ = answer_all(stream);
        });
    }
    Ok(())
}

/// Answers the requests of a connection until the client closes it.
fn answer_all(stream: Stream) -> Result<()> {
    let mut writer = stream.get_ref().try_clone()?;
    for line in BufReader::new(stream).lines() {
        // A request without a body ends with an empty line.
        if line?.is_empty() {
            let body = format!("pid {}\n", std::process::id());
            let length = body.len();
            let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
            writer.write_all(response.as_bytes())?;
        }
    }
    Ok(())
}
