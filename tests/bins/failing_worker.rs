//! A server that starts its first worker through the command in `STORM_WRAPPER`. Spaces separate
//! the arguments of the command.

use std::env;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use prefork::net::Listener;
use prefork::{Prefork, Worker};

fn main() -> ExitCode {
    let mut wrapper = env::var("STORM_WRAPPER").ok();
    let prefork = Prefork::new()
        .handle_signals()
        .workers(1)
        .child_producer(move |command| {
            if let Some(wrapper) = wrapper.take() {
                let mut arguments = wrapper.split(' ');
                command.wrapper(arguments.next().unwrap_or_default(), arguments);
            }
        });
    prefork::report(prefork.run(|worker: Worker| {
        let listener = worker.listener("listener").map_err(io::Error::other)?;
        serve(&listener)
    }))
}

fn serve(listener: &Listener) -> io::Result<()> {
    while let Some(connection) = listener.blocking_accept() {
        let (stream, _) = connection?;
        // A client that has closed its connection does not end the worker.
        let _ = answer(stream.into_inner());
    }
    Ok(())
}

fn answer(mut stream: prefork::net::Socket) -> io::Result<()> {
    let mut head = Vec::new();
    let mut part = [0; 512];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut part)? {
            0 => return Ok(()),
            length => head.extend_from_slice(&part[..length]),
        }
    }
    let text = format!("hello from worker 0 (pid {})\n", std::process::id());
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    stream.write_all(format!("{head}{text}").as_bytes())
}
