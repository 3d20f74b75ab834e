//! Two listeners, identified by their names. The arguments have the reverse order of `listen`.

use std::io::{self, Read, Write};
use std::thread;

use prefork::net::Listener;

#[prefork::main(listen = ["http=127.0.0.1:0", "admin=127.0.0.1:0"], workers = 2)]
fn main(admin: Listener, http: Listener) -> io::Result<()> {
    thread::scope(|scope| {
        scope.spawn(|| serve(&admin, "admin\n"));
        serve(&http, "http\n");
        Ok(())
    })
}

fn serve(listener: &Listener, text: &str) {
    while let Some(Ok((mut stream, _peer))) = listener.blocking_accept() {
        let length = text.len();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{text}");
        // Each request is short enough for one read. A disconnected client is not an error.
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(answer.as_bytes());
    }
}
