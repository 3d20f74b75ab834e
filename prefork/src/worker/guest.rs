//! A worker as a guest in a test's own process: the test plays the master, at the other end of a
//! real channel. For the testkit.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;

use super::context::{Context, Declared, Parts, cannot};
use super::watch::Process;
use super::worker::Worker;
use crate::channel::{Channel, FromChild, FromMaster, Queue, Received};
use crate::error::Error;
use crate::listen::{Inherited, Place};
use crate::tls::Handed;

/// The master's side of a worker that runs on a thread of the same process. Dropping it is the
/// master's death, if it has not died before.
#[derive(Debug)]
pub struct Guest {
    context: Arc<Context>,
    channel: Channel,
}

const DOING: &str = "be a guest";

/// What a guest said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It serves.
    Ready,
    /// It accepts nothing more.
    Closed,
}

impl Guest {
    /// A worker in slot 0 with these listeners, by name, all of them plain.
    ///
    /// # Errors
    /// No descriptors are left, or a listener has no address.
    pub fn new(listeners: Vec<(String, TcpListener)>, grace: Duration) -> Result<Self, Error> {
        let plain = |(name, listener): (String, TcpListener)| -> io::Result<Inherited> {
            let place = Place {
                name,
                addr: listener.local_addr()?,
                is_tls: false,
            };
            Ok(Inherited {
                place,
                fd: listener.into(),
            })
        };
        let listeners: io::Result<_> = listeners.into_iter().map(plain).collect();
        Self::of(listeners.map_err(cannot(DOING))?, grace, None)
    }

    /// A worker in slot 0 with what a master would give to one.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(crate) fn of(
        listeners: Vec<Inherited>,
        grace: Duration,
        tls: Option<Handed>,
    ) -> Result<Self, Error> {
        let cannot = cannot(DOING);
        for listener in &listeners {
            let socket = SockRef::from(&listener.fd);
            socket.set_nonblocking(true).map_err(&cannot)?;
        }
        // As if `main` had an argument for each.
        let places = listeners.iter().map(|listener| &listener.place);
        let declared = Declared {
            listeners: places.map(|place| place.name.clone()).collect(),
            ..Declared::default()
        };
        let (ours, theirs) = Channel::pair().map_err(&cannot)?;
        let parts = Parts {
            slot: 0,
            listeners,
            master: Some(Arc::new(theirs)),
            grace,
            threads: NonZeroUsize::MIN,
            tls,
            own_signals: &[],
            on_master_death: None,
            on_shortage: None,
            process: Process::Guest,
        };
        let (context, watch) = Context::build(parts, &declared)?;
        watch.start().map_err(&cannot)?;
        Ok(Self {
            context,
            channel: ours,
        })
    }

    /// The name and the address of each listener.
    pub fn addrs(&self) -> &[(String, SocketAddr)] {
        self.context.addrs()
    }

    /// Runs a body on this thread, which is the worker's meanwhile: `worker()`, `shutdown()` and
    /// `ready()` mean this one, here and in what runs on this thread.
    pub fn run<R>(&self, body: impl FnOnce(Worker) -> R) -> R {
        let worker = Worker::new(Arc::clone(&self.context));
        self.context.host(|| body(worker))
    }

    /// Asks it to go, as a master does in a stop.
    pub fn drain(&self, budget: Duration) {
        let drain = FromMaster::Drain {
            budget,
            queue: Queue::Serve,
        };
        // One frame in an empty channel.
        let _ = self.channel.send(&drain.encode());
    }

    /// The master dies now, while the body runs.
    pub fn die(&self) {
        self.channel.hang_up();
    }

    /// What it has said since the last call, of what a test may wait for. Never waits.
    pub fn heard(&self) -> Vec<Word> {
        let mut said = Vec::new();
        while let Received::Frame(frame) = self.channel.receive() {
            match FromChild::decode(&frame) {
                Some(FromChild::Ready) => said.push(Word::Ready),
                Some(FromChild::Closed) => said.push(Word::Closed),
                Some(
                    FromChild::Hello { .. }
                    | FromChild::Unready
                    | FromChild::Panic(_)
                    | FromChild::Ended(_)
                    | FromChild::Shortage(_),
                )
                | None => {}
            }
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::thread;

    use super::*;

    const GRACE: Duration = Duration::from_secs(30);

    fn guest() -> (Guest, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let listeners = vec![("http".to_owned(), listener)];
        (Guest::new(listeners, GRACE).expect("descriptors"), addr)
    }

    /// Answers each connection with what it read, and returns how many there were.
    fn echo(worker: &Worker) -> usize {
        let listener = worker.listener("http").expect("it was given");
        let mut count = 0;
        while let Some(connection) = listener.blocking_accept() {
            let (mut stream, _) = connection.expect("a connection");
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a byte was sent");
            stream.write_all(&byte).expect("the client waits");
            count += 1;
        }
        count
    }

    fn send(addr: SocketAddr) -> TcpStream {
        let mut client = TcpStream::connect(addr).expect("it listens");
        client.write_all(b"x").expect("there is room");
        client
    }

    /// The next words, as many as these: the body may go on before its thread has said them.
    fn hear(guest: &Guest, count: usize) -> Vec<Word> {
        let mut words = Vec::new();
        while words.len() < count {
            words.extend(guest.heard());
            thread::yield_now();
        }
        words
    }

    /// Reads like a server that keeps connections: one byte is a request, and the end of the client's side ends it.
    fn keep(stream: &mut crate::net::Stream) {
        let mut byte = [0];
        while let Ok(1) = stream.read(&mut byte) {
            if byte == *b"x" && stream.write_all(&byte).is_err() {
                return;
            }
        }
    }

    /// What the clients read to their ends, when the worker drains while each has a thread.
    fn drained(clients: &mut [TcpStream], guest: &Guest, budget: Duration) -> Vec<Vec<u8>> {
        guest.run(|worker| {
            let listener = worker.listener("http").expect("it was given");
            thread::scope(|scope| {
                for _ in 0..clients.len() {
                    let accepted = listener.blocking_accept().expect("no drain yet");
                    let (mut stream, _) = accepted.expect("a connection");
                    scope.spawn(move || keep(&mut stream));
                }
                guest.drain(budget);
                assert!(listener.blocking_accept().is_none());
            });
        });
        let read = |client: &mut TcpStream| {
            let mut all = Vec::new();
            client.read_to_end(&mut all).expect("it is closed");
            all
        };
        clients.iter_mut().map(read).collect()
    }

    #[test]
    fn a_blocking_read_of_a_silent_client_ends_in_a_drain() {
        let (guest, addr) = guest();
        let mut silent = [TcpStream::connect(addr).expect("it listens")];
        // Half of it is longer than a test waits.
        let read = drained(&mut silent, &guest, Duration::from_mins(10));
        assert_eq!(read, [b""]);
    }

    #[test]
    fn a_blocking_read_of_a_kept_connection_ends_in_a_drain() {
        let (guest, addr) = guest();
        let mut kept = [send(addr), send(addr)];
        let read = drained(&mut kept, &guest, Duration::from_mins(10));
        assert_eq!(read, [b"x", b"x"]);
    }

    #[test]
    fn a_blocking_read_in_the_middle_of_a_request_ends_at_half_of_the_budget() {
        let (guest, addr) = guest();
        let mut client = TcpStream::connect(addr).expect("it listens");
        // The first half of a request.
        client.write_all(b"-").expect("there is space");
        let (budget, began) = (Duration::from_secs(2), std::time::Instant::now());
        let read = drained(&mut [client], &guest, budget);
        assert_eq!(read, [b""]);
        assert!(began.elapsed() >= budget / 2);
    }

    fn answered(mut client: TcpStream) -> bool {
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).is_ok() && answer == b"x"
    }

    #[test]
    fn what_waits_when_the_drain_begins_is_answered_and_then_it_says_closed() {
        let (guest, addr) = guest();
        let clients: Vec<TcpStream> = (0..20).map(|_| send(addr)).collect();
        // Asked before the body has accepted anybody.
        guest.drain(GRACE);
        let count = guest.run(|worker| {
            while !worker.shutdown().has_begun() {
                thread::yield_now();
            }
            let count = echo(&worker);
            worker.shutdown().wait();
            count
        });
        assert_eq!(count, 20);
        assert!(clients.into_iter().all(answered));
        assert_eq!(hear(&guest, 2), [Word::Ready, Word::Closed]);
        assert!(
            TcpStream::connect(addr).is_err(),
            "the last descriptor is closed"
        );
    }

    #[test]
    fn a_blocking_accept_that_waits_is_woken_by_the_drain() {
        let (guest, _) = guest();
        thread::scope(|scope| {
            let body = scope.spawn(|| guest.run(|worker| echo(&worker)));
            // The first call of accept.
            assert_eq!(hear(&guest, 1), [Word::Ready]);
            guest.drain(GRACE);
            assert_eq!(body.join().expect("it only echoes"), 0);
        });
    }

    #[test]
    fn the_end_of_the_channel_is_the_masters_death() {
        let (guest, _) = guest();
        let shutdown = guest.run(|worker| {
            // One that is dropped has ended.
            drop(worker.listener("http"));
            worker.shutdown()
        });
        drop(guest);
        shutdown.wait();
        assert!(shutdown.is_resolved());
    }

    #[test]
    fn silent_clients_do_not_hold_the_stop_for_long() {
        let (guest, addr) = guest();
        let _silent = TcpStream::connect(addr).expect("it listens");
        guest.drain(GRACE);
        let (accepted, shutdown) = guest.run(|worker| {
            let listener = worker.listener("http").expect("it was given");
            let mut accepted = Vec::new();
            while let Some(connection) = listener.blocking_accept() {
                accepted.push(connection.expect("a connection"));
            }
            (accepted, worker.shutdown())
        });
        assert_eq!(accepted.len(), 1);
        shutdown.wait();
        let deadline = shutdown.deadline().expect("it was asked to go");
        // Long before half of the budget.
        assert!(deadline - std::time::Instant::now() > GRACE / 2);
    }

    #[test]
    fn a_body_that_passes_over_the_errors_of_a_listener_that_was_shut_down_is_ended() {
        use nix::sys::socket::{Shutdown, shutdown};
        use std::os::fd::AsRawFd;

        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let copy = listener.try_clone().expect("descriptors");
        let guest = Guest::new(vec![("http".to_owned(), listener)], GRACE).expect("descriptors");
        guest.run(|worker| {
            let listener = worker.listener("http").expect("it was given");
            shutdown(copy.as_raw_fd(), Shutdown::Both).expect("it listens");
            while let Some(accepted) = listener.blocking_accept() {
                let error = accepted.expect_err("the socket is shut down");
                assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
                thread::yield_now();
            }
            worker.shutdown().wait();
        });
    }

    #[test]
    fn a_listener_is_taken_once() {
        let (guest, _) = guest();
        guest.run(|worker| {
            let _listener = worker.listener("http").expect("it was given");
            let again = worker.tcp_listener("http").expect_err("it is taken");
            assert!(again.to_string().contains("taken already"), "{again}");
            let other = worker.listener("admin").expect_err("there is none");
            assert!(other.to_string().contains("no listener 'admin'"), "{other}");
        });
    }

    /// Without the feature the program is another one than its master's, which nobody has refused before.
    #[test]
    fn a_listener_that_speaks_tls_is_not_given_for_plain_text() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let place = Place {
            name: "https".to_owned(),
            addr: listener.local_addr().expect("bound"),
            is_tls: true,
        };
        let fd = listener.into();
        let guest = Guest::of(vec![Inherited { place, fd }], GRACE, None).expect("descriptors");
        guest.run(|worker| {
            let taken = [
                worker.listener("https").map(drop),
                worker.tcp_listener("https").map(drop),
            ];
            for refused in taken {
                let refusal = refused.expect_err("it is for TLS").to_string();
                let way_out = if cfg!(feature = "tls") {
                    "tls_listener"
                } else {
                    "feature `tls` of prefork"
                };
                assert!(refusal.contains(way_out), "{refusal}");
            }
        });
    }
}
