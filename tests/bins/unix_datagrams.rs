//! Prints each datagram of a unix socket, with blocking calls.

use std::io;
use std::os::unix::net::UnixDatagram;

#[prefork::main(workers = 2)]
fn main(socket: UnixDatagram) -> io::Result<()> {
    let mut datagram = [0; 512];
    loop {
        let length = socket.recv(&mut datagram)?;
        println!("received {}", String::from_utf8_lossy(&datagram[..length]));
    }
}
