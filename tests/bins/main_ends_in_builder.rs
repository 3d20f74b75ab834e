//! A builder's body that ends on request, in a program that keeps running afterwards.

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Duration;
use std::{panic, thread};

use prefork::{Prefork, Worker};
use prefork_tests::server::name_of;

fn main() -> ExitCode {
    let ended = panic::catch_unwind(|| {
        Prefork::new()
            .listen("127.0.0.1:0")
            .workers(1)
            .handle_signals()
            .run(serve)
    });
    match ended {
        Ok(Ok(prefork::Outcome::Worker(_))) | Err(_) => loop {
            thread::sleep(Duration::from_hours(1));
        },
        Ok(result) => prefork::report(result),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what a builder calls")]
fn serve(worker: Worker) -> io::Result<()> {
    let listener = worker.listener("listener0").map_err(io::Error::from)?;
    while let Some(accepted) = listener.blocking_accept() {
        let (mut stream, _peer) = accepted?;
        let mut request = [0; 1024];
        let length = stream.read(&mut request)?;
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        let body = name_of(&worker);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes())?;
        assert!(!request.starts_with("GET /end/panic"), "lost the plot");
        if request.starts_with("GET /end/error") {
            return Err(io::Error::other("lost the database"));
        }
        if request.starts_with("GET /end/return") {
            return Ok(());
        }
    }
    Ok(())
}
