//! A worker cannot block the master through a socket that they share: the master still replaces
//! workers and stops in time.

use std::net::{TcpListener, TcpStream};

use prefork_testkit::{RunningServer, Server, Signal, eventually};
use prefork_tests::client::get;
use prefork_tests::proc;

const MISUSE: &str = env!("CARGO_BIN_EXE_misuse");
const FILTERED: &str = env!("CARGO_BIN_EXE_filtered");

/// The kernel that the server sees.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kernel {
    /// This kernel, unchanged.
    Own,
    /// Without `SO_PASSRIGHTS`, as before Linux 6.16.
    Older,
}

/// Starts a server and a peer, to which its workers can connect.
///
/// The peer does not read from its connections.
fn start(kernel: Kernel) -> (RunningServer, TcpListener) {
    let peer = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = peer.local_addr().expect("bound");
    let server = Server::new(MISUSE)
        .env("PEER", addr.to_string())
        .env("PREFORK_RECOVER_THRESHOLD", "1000");
    let server = match kernel {
        Kernel::Own => server,
        Kernel::Older => server.wrapper([FILTERED, "SO_PASSRIGHTS", "ENOPROTOOPT"]),
    };
    let server = server.start();
    server.wait_for_children(2);
    get(server.addr(), "/").expect("an answer");
    (server, peer)
}

/// Kills all workers, and waits until their replacements answer.
fn recovers(server: &RunningServer) {
    for slot in 0..2 {
        let killed = server.kill_child(slot);
        server.wait_for_replacement(killed);
    }
    get(server.addr(), "/").expect("an answer");
}

fn has_one_thread(server: &RunningServer) {
    eventually("the end of the other threads", || {
        (proc::status(server.master_pid(), "Threads") == Some(1)).then_some(())
    });
}

fn stops(server: &mut RunningServer) {
    assert_eq!(server.stop().code(), Some(0));
    assert_eq!(server.processes(), []);
    // If a stop is requested, the workers exit within the grace period.
    let log = server.final_log();
    let is_killed = |line: &String| line.contains("did not stop within shutdown_grace_period");
    assert!(!log.iter().any(is_killed), "{log:#?}");
}

#[test]
fn a_lingering_socket_in_a_frame_does_not_block_the_master() {
    for misuse in [
        "send_lingering",
        "send_many_lingering",
        "send_lingering_in_empty_frames",
    ] {
        let (mut server, _peer) = start(Kernel::Own);
        let answer = get(server.addr(), &format!("/do/{misuse}")).expect("an answer");
        let is_refused = answer == "Operation not permitted (os error 1)\n";
        assert!(is_refused || answer == "done\n", "{answer}");
        recovers(&server);
        has_one_thread(&server);
        stops(&mut server);
    }
}

#[test]
fn a_lingering_socket_in_a_frame_is_a_violation_on_an_older_kernel() {
    for misuse in [
        "send_lingering",
        "send_many_lingering",
        "send_lingering_in_empty_frames",
    ] {
        let (mut server, _peer) = start(Kernel::Older);
        // The worker may be killed before it answers.
        let _ = get(server.addr(), &format!("/do/{misuse}"));
        server.wait_for_log(|line| {
            line.contains("was killed by SIGKILL")
                && line.ends_with(": sent the master a frame with file descriptors")
        });
        server.wait_for_children(2);
        recovers(&server);
        has_one_thread(&server);
        stops(&mut server);
    }
}

#[test]
fn a_worker_that_is_stopped_with_descriptors_unread_does_not_block_the_end() {
    let (mut server, _peer) = start(Kernel::Older);
    // Until SIGCONT the master handles no events.
    server.signal(Signal::SIGSTOP);
    let answer = get(server.addr(), "/do/send_many_lingering").expect("an answer");
    assert_eq!(answer, "done\n");
    for child in server.children() {
        server.signal_child(child.slot, Signal::SIGKILL);
    }
    server.signal(Signal::SIGTERM);
    server.signal(Signal::SIGCONT);
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(server.processes(), []);
}

#[test]
fn a_listener_that_a_worker_connected_does_not_block_a_stop() {
    for kernel in [Kernel::Own, Kernel::Older] {
        let (mut server, _peer) = start(kernel);
        let answer = get(server.addr(), "/do/connect_listeners").expect("an answer");
        assert_eq!(answer, "done\n");
        server.signal(Signal::SIGTERM);
        assert_eq!(server.wait().code(), Some(0), "{:#?}", server.log());
        assert_eq!(server.processes(), []);
        let refused = TcpStream::connect(server.addr());
        assert!(refused.is_err());
    }
}
