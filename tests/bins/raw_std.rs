//! A raw listener of the standard library, which serves one connection after another.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

#[prefork::main(workers = 2)]
fn main(listener: TcpListener) -> io::Result<()> {
    println!("blocking: {}", is_blocking(&listener)?);
    for stream in listener.incoming() {
        // A disconnected client does not end the worker.
        drop(answer(stream?));
    }
    Ok(())
}

fn is_blocking(listener: &TcpListener) -> io::Result<bool> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let flags = OFlag::from_bits_retain(fcntl(listener, FcntlArg::F_GETFL)?);
    Ok(!flags.contains(OFlag::O_NONBLOCK))
}

fn answer(stream: TcpStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line)? > 2 {
        line.clear();
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\n";
    let mut stream = stream.into_inner();
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"raw\n")
}
