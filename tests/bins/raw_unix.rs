//! Raw unix listeners of the standard library: each connection gets one line.

use std::io::{self, Write};
use std::os::unix::net::UnixListener;

use prefork::{ListenerInfo, socket2::Socket};

#[prefork::main(workers = 2, on_socket = note)]
fn main(listener: UnixListener) -> io::Result<()> {
    for stream in listener.incoming() {
        // A disconnected client does not end the worker.
        let _ = stream?.write_all(b"raw\n");
    }
    Ok(())
}

fn note(socket: &Socket, info: &ListenerInfo) -> io::Result<()> {
    let is_unnamed = socket.local_addr()?.is_unnamed();
    println!("on_socket: {info}, not bound: {is_unnamed}");
    Ok(())
}
