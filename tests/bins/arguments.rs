//! Arguments of the program's own types: one that wraps a listener, one with an error that ends the
//! worker, one with an error that the body handles. And `Ready`.

use std::io::{Read, Write};
use std::{env, fs};

use prefork::net::Listener;
use prefork::{ArgumentInfo, FromWorker, FromWorkerError, Needs, Ready, Worker};

/// A wrapper of a listener. The body answers every client with the same text.
struct Front(Listener);

impl FromWorker for Front {
    const NEEDS: Needs = <Listener as FromWorker>::NEEDS;

    fn from_worker(worker: &Worker, request: &ArgumentInfo<'_>) -> Result<Self, FromWorkerError> {
        Listener::from_worker(worker, request).map(Self)
    }
}

/// The contents of a file. The variable with the argument's name holds the path.
struct Text(String);

impl FromWorker for Text {
    fn from_worker(_worker: &Worker, request: &ArgumentInfo<'_>) -> Result<Self, FromWorkerError> {
        let Some(path) = env::var_os(request.name()) else {
            return Ok(Self("nothing".to_owned()));
        };
        let text = fs::read_to_string(path);
        text.map(Self).map_err(|error| {
            let reason = format!("cannot read the file in {}", request.name());
            FromWorkerError::new(reason).with_source(error)
        })
    }
}

#[prefork::main(listen = "127.0.0.1:0", workers = 1)]
fn main(
    Front(listener): Front,
    needed_text: Text,
    welcome_text: Result<Text, FromWorkerError>,
    ready: Ready,
) {
    let Text(needed) = needed_text;
    let welcome = match welcome_text {
        Ok(Text(text)) => text,
        Err(error) => {
            let source = std::error::Error::source(&error);
            format!("{error}, {}", source.is_some())
        }
    };
    if env::var_os("NOT_READY").is_none() {
        ready.notify_ready();
    }
    while let Some(Ok((mut stream, _peer))) = listener.blocking_accept() {
        let text = format!("{needed}; {welcome}\n");
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
        // Each request is short enough for one read. A disconnected client is not an error.
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all((head + &text).as_bytes());
    }
}
