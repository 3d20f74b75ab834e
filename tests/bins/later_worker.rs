//! A worker of a later version, by hand: it sends frames and keys that this version does not know,
//! and answers each request with `later`. The file `behavior` next to the program can contain the
//! number of its protocol.

use std::os::fd::RawFd;
use std::time::Duration;
use std::{env, fs, process, thread};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, accept, recv, send};
use nix::unistd::close;

/// The first of the descriptors that the master passes.
const LISTENER: RawFd = 3;

fn main() {
    let role = env::var("PREFORK_CHILD").expect("a master started it");
    let channel = role.rsplit(':').next().expect("a descriptor");
    let channel: RawFd = channel.parse().expect("a descriptor");
    let send_frame = |frame: &str| {
        send(channel, frame.as_bytes(), MsgFlags::empty()).expect("the master lives");
    };
    let protocol = protocol();
    send_frame("telemetry cpu_ms=12 memory_kb=4096");
    send_frame(&format!(
        "hello color=red protocol={protocol} shade=\"deep red\" ready=announced listeners= tier=gold"
    ));
    send_frame("ready load=3");
    send_frame("\u{1F980} says hello");
    let mut may_serve = false;
    loop {
        match next_frame(channel).as_deref() {
            Some(frame) if frame.starts_with("welcome ") => {
                may_serve = !frame.contains("gate=closed");
            }
            Some("serve") => may_serve = true,
            Some(frame) if frame.starts_with("drain budget_ms=") => {
                send_frame("draining left=0");
                send_frame("closed queue=empty");
                send_frame("ended how=evicted");
                process::exit(0);
            }
            // The master died.
            Some("") => process::exit(0),
            Some(_) => {}
            None if may_serve => serve_one(),
            None => thread::sleep(Duration::from_millis(1)),
        }
    }
}

fn protocol() -> String {
    let mut path = env::current_exe().expect("/proc is mounted");
    path.set_file_name("behavior");
    let text = fs::read_to_string(path).unwrap_or_default();
    if text.is_empty() {
        "1".to_owned()
    } else {
        text
    }
}

fn next_frame(channel: RawFd) -> Option<String> {
    let mut frame = [0; 4096];
    match recv(channel, &mut frame, MsgFlags::MSG_DONTWAIT) {
        Ok(length) => Some(String::from_utf8_lossy(&frame[..length]).into_owned()),
        Err(Errno::EAGAIN | Errno::EINTR) => None,
        Err(_) => Some(String::new()),
    }
}

/// Answers a request, if a client waits.
fn serve_one() {
    // The socket is not blocking, and all workers share it.
    let Ok(client) = accept(LISTENER) else {
        return thread::sleep(Duration::from_millis(1));
    };
    let mut request = [0; 4096];
    let _ = recv(client, &mut request, MsgFlags::empty());
    let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nlater\n";
    let _ = send(client, answer.as_bytes(), MsgFlags::MSG_NOSIGNAL);
    let _ = close(client);
}
