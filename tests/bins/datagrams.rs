//! Returns each UDP datagram to its sender, with the slot of the worker.

use std::io;
use std::pin::pin;

use prefork::Worker;
use tokio::net::UdpSocket;

#[prefork::main(listen = "udp://127.0.0.1:0", workers = 4)]
async fn main(socket: UdpSocket, worker: Worker) -> io::Result<()> {
    let mut shutdown = pin!(worker.shutdown());
    let mut datagram = [0; 512];
    loop {
        tokio::select! {
            received = socket.recv_from(&mut datagram) => {
                let (length, peer) = received?;
                let text = String::from_utf8_lossy(&datagram[..length]);
                let answer = format!("{} {text}", worker.slot());
                socket.send_to(answer.as_bytes(), peer).await?;
            }
            () = &mut shutdown => return Ok(()),
        }
    }
}
