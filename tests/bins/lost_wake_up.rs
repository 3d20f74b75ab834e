//! Workers that the kernel wakes one by one. The one that is woken first ends or is suspended before
//! it accepts.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::{env, process};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{Signal, raise};
use prefork::Worker;
use prefork_tests::READY;

#[prefork::main(workers = 2)]
fn main(listener: TcpListener, worker: Worker) -> io::Result<()> {
    let first = env::var_os("FIRST_FILE").expect("the test sets it");
    let first = Path::new(&first);
    if first.exists() {
        // A replacement, which would find the connection.
        worker.notify_ready();
        worker.shutdown().blocking_wait();
        return Ok(());
    }
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let events = EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE;
    epoll.add(&listener, EpollEvent::new(events, 0))?;
    worker.notify_ready();
    println!("{READY}");
    while !worker.shutdown().is_requested() {
        let timeout = EpollTimeout::from(50_u8);
        if epoll.wait(&mut [EpollEvent::empty()], timeout) != Ok(1) {
            continue;
        }
        if File::create_new(first).is_ok() {
            if env::var_os("SUSPENDS").is_none() {
                process::abort();
            }
            raise(Signal::SIGSTOP)?;
        }
        // Another worker may have taken it.
        if let Ok((mut stream, _)) = listener.accept() {
            stream.set_nonblocking(false)?;
            let _ = stream.read(&mut [0; 1024]);
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(format!("{head}ok\n").as_bytes());
        }
    }
    Ok(())
}
