//! A worker that runs inside the process of a test. For the testkit.
//!
//! The test plays the master at the other end of a real channel.

use std::io;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use prefork_options::{Addr, Transport};
use socket2::SockRef;

use super::context::{BodySpec, Context};
use super::current;
use super::lifecycle::{DrainTimes, Host};
use super::start::{WorkerParts, build, cannot};
use super::worker::Worker;
use crate::channel::{Channel, FromChild, FromMaster, ReceivedFrame, Welcome};
use crate::error::Error;
use crate::listen::{InheritedListener, ListenerInfo};
use crate::tls::WorkerTls;

/// The master's side of a worker that runs on a thread of the same process.
///
/// To the worker, dropping it is the death of the master.
#[derive(Debug)]
pub struct InProcessWorker {
    context: Arc<Context>,
    channel: Channel,
}

const STARTING: &str = "start in the process of the test";

/// What an in-process worker reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerEvent {
    /// It is ready.
    Ready,
    /// It has taken back its readiness.
    Unready,
    /// It has closed its listeners.
    Closed,
}

impl InProcessWorker {
    /// Creates a worker in slot 0 with these named listeners, all without TLS.
    ///
    /// # Errors
    /// No descriptors are left, or a listener has no address.
    pub fn new(listeners: Vec<(String, TcpListener)>, grace: Duration) -> Result<Self, Error> {
        let plain = |(name, listener): (String, TcpListener)| -> io::Result<InheritedListener> {
            let address = Addr::Ip(listener.local_addr()?);
            let info = ListenerInfo::new(name, address, Transport::Stream);
            Ok(InheritedListener::new(info, listener.into()))
        };
        let listeners: io::Result<_> = listeners.into_iter().map(plain).collect();
        Self::of(
            listeners.map_err(cannot(STARTING))?,
            Welcome::new(grace).into(),
            WorkerTls::from_master(None),
        )
    }

    /// Creates a worker in slot 0 from what a master passes to a worker. Its gate is open.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(crate) fn of(
        listeners: Vec<InheritedListener>,
        times: DrainTimes,
        tls: WorkerTls,
    ) -> Result<Self, Error> {
        Self::with_gate(listeners, times, tls, false, false)
    }

    fn with_gate(
        listeners: Vec<InheritedListener>,
        times: DrainTimes,
        tls: WorkerTls,
        is_gated: bool,
        is_standby: bool,
    ) -> Result<Self, Error> {
        let cannot = cannot(STARTING);
        for fd in listeners.iter().flat_map(|listener| &listener.fds) {
            SockRef::from(fd).set_nonblocking(true).map_err(&cannot)?;
        }
        // As if `main` had an argument for each listener.
        let infos = listeners.iter().map(|listener| &listener.info);
        let declared = BodySpec {
            listeners: infos.map(|info| info.name.clone()).collect(),
            ..BodySpec::default()
        };
        let (master, child) = Channel::pair().map_err(&cannot)?;
        let parts = WorkerParts {
            slot: 0,
            listeners,
            master: Some(Arc::new(child)),
            times,
            threads: NonZeroUsize::MIN,
            tls,
            own_signals: &[],
            is_gated,
            is_standby,
            on_master_death: None,
            observer: None,
            host: Host::Test,
        };
        let (context, monitor) = build(parts, &declared)?;
        monitor.start().map_err(&cannot)?;
        Ok(Self {
            context,
            channel: master,
        })
    }

    /// Returns the listeners.
    pub fn listeners(&self) -> &[ListenerInfo] {
        self.context.listeners.infos()
    }

    /// Runs `body` on this thread as the `main` of this worker.
    ///
    /// During the call, `worker()`, `shutdown()` and `notify_ready()` on this thread refer to this
    /// worker.
    pub fn run<R>(&self, body: impl FnOnce(Worker) -> R) -> R {
        let worker = Worker::new(Arc::clone(&self.context));
        current::enter(&self.context, || body(worker))
    }

    /// Asks the worker to drain, as a master does in a stop.
    pub fn drain(&self, budget: Duration) {
        let drain = FromMaster::Drain { budget };
        // The channel is empty, so the frame fits.
        let _ = self.channel.send(&drain.encode());
    }

    /// Simulates the death of the master.
    pub fn kill_master(&self) {
        self.channel.close();
    }

    /// Returns what the worker reported since the last call, and never waits.
    pub fn events(&self) -> Vec<WorkerEvent> {
        let mut events = Vec::new();
        while let ReceivedFrame::Frame(frame) = self.channel.receive() {
            match FromChild::decode(&frame) {
                Some(FromChild::Ready) => events.push(WorkerEvent::Ready),
                Some(FromChild::Unready) => events.push(WorkerEvent::Unready),
                Some(FromChild::Closed) => events.push(WorkerEvent::Closed),
                Some(
                    FromChild::Hello { .. }
                    | FromChild::AdoptionFailed { .. }
                    | FromChild::Panic(_)
                    | FromChild::Ended(_)
                    | FromChild::Shortage(_)
                    | FromChild::Unpinned { .. },
                )
                | None => {}
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;
    use crate::channel::MainEnd;

    const GRACE: Duration = Duration::from_secs(30);
    const TIMES: DrainTimes = DrainTimes {
        delay: Duration::ZERO,
        grace: GRACE,
        keepalive_grace: Duration::from_secs(1),
    };

    fn in_process_worker() -> (InProcessWorker, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let listeners = vec![("http".to_owned(), listener)];
        (
            InProcessWorker::new(listeners, GRACE).expect("descriptors"),
            addr,
        )
    }

    /// Echoes one byte on each connection, and returns the number of connections.
    fn echo(worker: &Worker) -> usize {
        let listener = worker
            .listener("http")
            .expect("the worker has this listener");
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
        let mut client = TcpStream::connect(addr).expect("the listener is open");
        client.write_all(b"x").expect("the buffer has space");
        client
    }

    /// Waits for this number of events: the monitor thread may send them late.
    fn wait_for_events(test_worker: &InProcessWorker, count: usize) -> Vec<WorkerEvent> {
        let mut events = Vec::new();
        while events.len() < count {
            events.extend(test_worker.events());
            thread::yield_now();
        }
        events
    }

    /// Serves like a server with keep-alive: `x` is a request, and the end of the stream ends the
    /// connection.
    fn keep(stream: &mut crate::net::Stream) {
        let mut byte = [0];
        while let Ok(1) = stream.read(&mut byte) {
            if byte == *b"x" && stream.write_all(&byte).is_err() {
                return;
            }
        }
    }

    /// Starts a thread per client, drains the worker, and returns what the clients read until the
    /// end.
    fn drain_with_clients(
        clients: &mut [TcpStream],
        test_worker: &InProcessWorker,
        budget: Duration,
    ) -> Vec<Vec<u8>> {
        test_worker.run(|worker| {
            let listener = worker
                .listener("http")
                .expect("the worker has this listener");
            thread::scope(|scope| {
                for _ in 0..clients.len() {
                    let accepted = listener.blocking_accept().expect("the drain has not begun");
                    let (mut stream, _) = accepted.expect("a connection");
                    scope.spawn(move || keep(&mut stream));
                }
                test_worker.drain(budget);
                assert!(listener.blocking_accept().is_none());
            });
        });
        let read = |client: &mut TcpStream| {
            let mut all = Vec::new();
            client.read_to_end(&mut all).expect("the worker closes it");
            all
        };
        clients.iter_mut().map(read).collect()
    }

    #[test]
    fn a_blocking_read_of_a_silent_client_ends_in_a_drain() {
        let (test_worker, addr) = in_process_worker();
        let mut silent = [TcpStream::connect(addr).expect("the listener is open")];
        // A test does not wait for half of this budget.
        let read = drain_with_clients(&mut silent, &test_worker, Duration::from_mins(10));
        assert_eq!(read, [b""]);
    }

    #[test]
    fn a_blocking_read_of_a_kept_connection_ends_in_a_drain() {
        let (test_worker, addr) = in_process_worker();
        let mut kept = [send(addr), send(addr)];
        let read = drain_with_clients(&mut kept, &test_worker, Duration::from_mins(10));
        assert_eq!(read, [b"x", b"x"]);
    }

    #[test]
    fn a_blocking_read_in_the_middle_of_a_request_ends_at_half_of_the_budget() {
        let (test_worker, addr) = in_process_worker();
        let mut client = TcpStream::connect(addr).expect("the listener is open");
        // The first half of a request.
        client.write_all(b"-").expect("the buffer has space");
        let (budget, began) = (Duration::from_secs(2), std::time::Instant::now());
        let read = drain_with_clients(&mut [client], &test_worker, budget);
        assert_eq!(read, [b""]);
        assert!(began.elapsed() >= budget / 2);
    }

    fn is_answered(mut client: TcpStream) -> bool {
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).is_ok() && answer == b"x"
    }

    #[test]
    fn waiting_connections_are_answered_before_the_worker_sends_closed() {
        let (test_worker, addr) = in_process_worker();
        let clients: Vec<TcpStream> = (0..20).map(|_| send(addr)).collect();
        // The drain begins before the first accept.
        test_worker.drain(GRACE);
        let count = test_worker.run(|worker| {
            while !worker.shutdown().is_requested() {
                thread::yield_now();
            }
            let count = echo(&worker);
            worker.shutdown().blocking_wait();
            count
        });
        assert_eq!(count, 20);
        assert!(clients.into_iter().all(is_answered));
        assert_eq!(
            wait_for_events(&test_worker, 2),
            [WorkerEvent::Ready, WorkerEvent::Closed]
        );
        assert!(
            TcpStream::connect(addr).is_err(),
            "the last descriptor of the listener is closed"
        );
    }

    #[test]
    fn a_worker_that_is_not_ready_at_its_first_accept_reports_readiness_when_it_is() {
        let (test_worker, addr) = in_process_worker();
        test_worker.run(|worker| {
            worker.not_ready();
            assert_eq!(wait_for_events(&test_worker, 1), [WorkerEvent::Unready]);
            let _client = send(addr);
            let listener = worker.listener("http").expect("it has this listener");
            thread::scope(|scope| {
                let accept = scope.spawn(|| listener.blocking_accept());
                // Most likely it waits by now. The test passes in every order.
                thread::sleep(Duration::from_millis(20));
                assert!(!accept.is_finished() && test_worker.events().is_empty());
                worker.notify_ready();
                assert!(accept.join().expect("it only accepts").is_some());
            });
            assert_eq!(wait_for_events(&test_worker, 1), [WorkerEvent::Ready]);
        });
    }

    #[test]
    fn readiness_that_is_taken_back_for_a_moment_is_reported_in_the_end() {
        let (test_worker, _addr) = in_process_worker();
        test_worker.run(|worker| {
            for _ in 0..1_000 {
                worker.not_ready();
                worker.notify_ready();
            }
            let mut events = Vec::new();
            while events.last() != Some(&WorkerEvent::Ready) {
                events.extend(test_worker.events());
                thread::yield_now();
            }
            assert!(events.len() <= 3, "{events:?}");
        });
    }

    #[test]
    fn a_later_request_that_leaves_less_time_shortens_a_drain() {
        let (test_worker, addr) = in_process_worker();
        let _waiting = send(addr);
        test_worker.run(|worker| {
            let listener = worker.listener("http").expect("it has this listener");
            let shutdown = worker.shutdown();
            // A test does not wait for half of this budget.
            test_worker.drain(Duration::from_mins(10));
            while !shutdown.is_requested() {
                thread::yield_now();
            }
            let deadline = shutdown.deadline();
            test_worker.drain(Duration::from_millis(100));
            shutdown.blocking_wait();
            assert!(shutdown.deadline() < deadline);
            assert!(listener.blocking_accept().is_none(), "its time is over");
            let shorter = shutdown.deadline();
            test_worker.drain(Duration::from_mins(10));
            let events = wait_for_events(&test_worker, 2);
            assert_eq!(events, [WorkerEvent::Ready, WorkerEvent::Closed]);
            assert_eq!(shutdown.deadline(), shorter);
        });
    }

    /// The monitor must notice that no listener is left to wait for.
    #[test]
    fn a_raw_listener_that_is_taken_in_a_drain_does_not_delay_the_shutdown() {
        const LIMIT: Duration = Duration::from_secs(30);
        let (test_worker, _) = in_process_worker();
        // A test does not wait for half of this budget.
        test_worker.drain(Duration::from_mins(10));
        test_worker.run(|worker| {
            let shutdown = worker.shutdown();
            while !shutdown.is_requested() {
                thread::yield_now();
            }
            // The monitor waits again by now, most likely.
            thread::sleep(Duration::from_millis(50));
            let _raw = worker.tcp_listener("http").expect("it was not taken");
            let began = std::time::Instant::now();
            while !shutdown.is_complete() {
                assert!(began.elapsed() < LIMIT, "the monitor still waits");
                thread::sleep(Duration::from_millis(1));
            }
        });
    }

    /// A successor in a rollout, and a copy of its socket as another worker has it.
    fn gated_worker() -> (InProcessWorker, TcpListener) {
        successor_or_standby(false)
    }

    fn successor_or_standby(is_standby: bool) -> (InProcessWorker, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let copy = listener.try_clone().expect("descriptors");
        let addr = Addr::Ip(listener.local_addr().expect("bound"));
        let info = ListenerInfo::new("http".to_owned(), addr, Transport::Stream);
        let listeners = vec![InheritedListener::new(info, listener.into())];
        let tls = WorkerTls::from_master(None);
        let worker = InProcessWorker::with_gate(listeners, TIMES, tls, true, is_standby);
        (worker.expect("descriptors"), copy)
    }

    /// The other worker accepts, as soon as the kernel has put the client into the queue.
    fn accept_in_other_worker(copy: &TcpListener) -> TcpStream {
        loop {
            match copy.accept() {
                Ok((stream, _)) => return stream,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            thread::yield_now();
        }
    }

    #[test]
    fn a_gated_worker_reports_ready_and_accepts_after_the_frame() {
        let (test_worker, copy) = gated_worker();
        let addr = copy.local_addr().expect("bound");
        thread::scope(|scope| {
            let body = scope.spawn(|| test_worker.run(|worker| echo(&worker)));
            assert_eq!(wait_for_events(&test_worker, 1), [WorkerEvent::Ready]);
            let _client = send(addr);
            // The gated worker has not accepted it.
            accept_in_other_worker(&copy);
            let (slot, cpu) = (None, None);
            let serve = FromMaster::Serve { slot, cpu }.encode();
            test_worker
                .channel
                .send(&serve)
                .expect("the channel is empty");
            assert!(is_answered(send(addr)));
            test_worker.drain(GRACE);
            assert_eq!(body.join().expect("the thread only echoes"), 1);
        });
    }

    #[test]
    fn a_raw_listener_of_a_standby_waits_for_the_promotion_or_the_end() {
        let (slot, cpu) = (Some(3), None);
        let serve = FromMaster::Serve { slot, cpu }.encode();
        for (is_promoted, slot) in [(true, 3), (false, 0)] {
            let (test_worker, _copy) = successor_or_standby(true);
            let has_ended = AtomicBool::new(false);
            thread::scope(|scope| {
                let body = scope.spawn(|| {
                    test_worker.run(|worker| {
                        let is_taken = worker.tcp_listener("http").is_ok();
                        assert!(has_ended.load(Ordering::SeqCst), "it has waited");
                        (is_taken, worker.slot())
                    })
                });
                // It waits by now, most likely.
                thread::sleep(Duration::from_millis(20));
                has_ended.store(true, Ordering::SeqCst);
                if is_promoted {
                    test_worker.channel.send(&serve).expect("it is empty");
                } else {
                    test_worker.drain(GRACE);
                }
                assert_eq!(body.join().expect("it waits"), (is_promoted, slot));
            });
        }
    }

    #[test]
    fn a_gated_worker_leaves_the_queue_if_it_drains() {
        for end in [
            (|master| master.drain(GRACE)) as fn(&InProcessWorker),
            InProcessWorker::kill_master,
            |master| master.context.main_ended(MainEnd::Returned),
        ] {
            let (test_worker, copy) = gated_worker();
            let _queued = send(copy.local_addr().expect("bound"));
            thread::scope(|scope| {
                let body = scope.spawn(|| {
                    test_worker.run(|worker| {
                        let count = echo(&worker);
                        worker.shutdown().blocking_wait();
                        count
                    })
                });
                assert_eq!(wait_for_events(&test_worker, 1), [WorkerEvent::Ready]);
                end(&test_worker);
                assert_eq!(body.join().expect("the thread only echoes"), 0);
            });
            // The client still waits.
            accept_in_other_worker(&copy);
        }
    }

    #[test]
    fn a_drain_wakes_a_blocking_accept() {
        let (test_worker, _) = in_process_worker();
        thread::scope(|scope| {
            let body = scope.spawn(|| test_worker.run(|worker| echo(&worker)));
            // The first call of accept.
            assert_eq!(wait_for_events(&test_worker, 1), [WorkerEvent::Ready]);
            test_worker.drain(GRACE);
            assert_eq!(body.join().expect("the thread only echoes"), 0);
        });
    }

    #[test]
    fn the_end_of_the_channel_means_that_the_master_died() {
        let (test_worker, _) = in_process_worker();
        let shutdown = test_worker.run(|worker| {
            // A dropped listener has ended.
            drop(worker.listener("http"));
            worker.shutdown()
        });
        drop(test_worker);
        shutdown.blocking_wait();
        assert!(shutdown.is_complete());
    }

    #[test]
    fn silent_clients_do_not_delay_the_stop_for_long() {
        let (test_worker, addr) = in_process_worker();
        let _silent = TcpStream::connect(addr).expect("the listener is open");
        test_worker.drain(GRACE);
        let (accepted, shutdown) = test_worker.run(|worker| {
            let listener = worker
                .listener("http")
                .expect("the worker has this listener");
            let mut accepted = Vec::new();
            while let Some(connection) = listener.blocking_accept() {
                accepted.push(connection.expect("a connection"));
            }
            (accepted, worker.shutdown())
        });
        assert_eq!(accepted.len(), 1);
        shutdown.blocking_wait();
        let deadline = shutdown.deadline().expect("the worker was asked to stop");
        // Much less than half of the budget has passed.
        assert!(deadline - std::time::Instant::now() > GRACE / 2);
    }

    #[test]
    fn a_worker_that_ignores_errors_of_a_shut_down_listener_is_drained() {
        use nix::sys::socket::{Shutdown, shutdown};
        use std::os::fd::AsRawFd;

        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let copy = listener.try_clone().expect("descriptors");
        let test_worker =
            InProcessWorker::new(vec![("http".to_owned(), listener)], GRACE).expect("descriptors");
        test_worker.run(|worker| {
            let listener = worker
                .listener("http")
                .expect("the worker has this listener");
            shutdown(copy.as_raw_fd(), Shutdown::Both).expect("the socket listens");
            while let Some(accepted) = listener.blocking_accept() {
                let error = accepted.expect_err("the socket is shut down");
                assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
                thread::yield_now();
            }
            worker.shutdown().blocking_wait();
        });
    }

    #[test]
    fn a_listener_is_taken_once() {
        let (test_worker, _) = in_process_worker();
        test_worker.run(|worker| {
            let _listener = worker
                .listener("http")
                .expect("the worker has this listener");
            let again = worker
                .tcp_listener("http")
                .expect_err("the listener is taken");
            assert!(again.to_string().contains("already taken"), "{again}");
            let other = worker
                .listener("admin")
                .expect_err("there is no such listener");
            assert!(other.to_string().contains("no listener 'admin'"), "{other}");
        });
    }

    /// Without feature `tls`, this is a program that `child_producer` started; its master has the
    /// feature.
    #[test]
    fn a_tls_listener_is_not_taken_without_tls() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = Addr::Ip(listener.local_addr().expect("bound"));
        let info = ListenerInfo::new("https".to_owned(), addr, Transport::Tls);
        let inherited = InheritedListener::new(info, listener.into());
        let tls = WorkerTls::from_master(None);
        let test_worker = InProcessWorker::of(vec![inherited], TIMES, tls).expect("descriptors");
        test_worker.run(|worker| {
            let taken = [
                worker.listener("https").map(drop),
                worker.tcp_listener("https").map(drop),
            ];
            for result in taken {
                let error = result.expect_err("the listener uses TLS").to_string();
                let help = if crate::tls::HAS_TLS {
                    "tls_listener"
                } else {
                    "feature `tls` of prefork"
                };
                assert!(error.contains(help), "{error}");
            }
        });
    }
}
