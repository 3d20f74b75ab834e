//! Arguments of types that are not ours: one around a listener, one that may fail and ends the
//! worker then, one whose failure the body wants to see; and `Ready`.

use std::io::{Read, Write};
use std::{env, fs};

use prefork::net::Listener;
use prefork::{ArgError, Argument, ArgumentInfo, ArgumentKind, Ready, Worker};

/// Serves one text to everybody.
struct Front(Listener);

impl Argument for Front {
    const KIND: ArgumentKind = <Listener as Argument>::KIND;

    fn from_worker(worker: &Worker, request: &ArgumentInfo<'_>) -> Result<Self, ArgError> {
        Listener::from_worker(worker, request).map(Self)
    }
}

/// What stands in the file that the variable of the argument's name tells.
struct Text(String);

impl Argument for Text {
    fn from_worker(_worker: &Worker, request: &ArgumentInfo<'_>) -> Result<Self, ArgError> {
        let Some(path) = env::var_os(request.name()) else {
            return Ok(Self("nothing".to_owned()));
        };
        let text = fs::read_to_string(path);
        text.map(Self).map_err(|error| {
            let reason = format!("cannot read what {} tells", request.name());
            ArgError::new(reason).with_source(error)
        })
    }
}

#[prefork::main(listen = "127.0.0.1:0", workers = 1)]
fn main(
    Front(listener): Front,
    needed_text: Text,
    welcome_text: Result<Text, ArgError>,
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
    if env::var_os("SAY_NOTHING").is_none() {
        ready.announce();
    }
    while let Some(Ok((mut stream, _peer))) = listener.blocking_accept() {
        let text = format!("{needed}; {welcome}\n");
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
        // The requests here are short enough for one read; a client that is gone changes nothing.
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all((head + &text).as_bytes());
    }
}
