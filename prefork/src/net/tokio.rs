//! Async accept, reads and writes on tokio.

use std::future::{Future, pending, poll_fn};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use prefork_options::Addr;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use super::accept_error::{AcceptError, FailedConnections, RETRY, classify};
use super::listener::Listener;
use super::listener_sockets::AcceptStep;
use super::shared_socket::SharedSocket;
use super::socket_set::SocketSet;
use super::{AsyncSocket, Socket, Stream};
use crate::sys::accept::{AcceptMode, accept, watch};

impl Listener {
    /// Waits for a connection.
    ///
    /// After the worker was asked to stop and the queue is empty, it stays pending forever. It is
    /// cancel safe: nothing is awaited between the system call and the return.
    ///
    /// # Errors
    /// Those of [`blocking_accept`](Self::blocking_accept).
    ///
    /// # Panics
    /// If it is called outside of a tokio runtime. In a shortage of descriptors or memory, also on
    /// a runtime without time enabled.
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub async fn accept(&self) -> io::Result<(Stream<AsyncSocket>, Addr)> {
        self.tracker.note_accept();
        loop {
            match self.accept_once().await {
                Err(error) if classify(&error) == AcceptError::Shortage => {
                    tokio::time::sleep(RETRY).await;
                }
                accepted => return accepted,
            }
        }
    }

    /// Like [`accept`](Self::accept), but returns the error of a shortage.
    pub(crate) async fn accept_once(&self) -> io::Result<(Stream<AsyncSocket>, Addr)> {
        let mut failed = FailedConnections::default();
        loop {
            // A task that accepts from a queue that is never empty has to yield, too.
            tokio::task::consume_budget().await;
            // Before the step, or a change in between is missed.
            let seen = self.tracker.changes();
            let set = match self.accept_step(AcceptMode::NonBlocking)? {
                AcceptStep::Wait(set) => set,
                AcceptStep::Gated => {
                    self.tracker.change_after(seen).await;
                    continue;
                }
                AcceptStep::Drained(io, peer, _socket) => {
                    return self.register(io, peer);
                }
                AcceptStep::Ended => return pending().await,
            };
            let accepted = match set.try_accept() {
                Some(accepted) => Some(accepted),
                None => self.accepted_or_change(&set, seen).await,
            };
            match accepted {
                Some(Err(error)) if failed.allows_retry(&error) => {}
                // The next step returns `Ended`, and then nothing here holds the socket.
                Some(Err(error)) if self.ends_with_master(&error) => {}
                Some(Err(error)) => {
                    self.note_error(&error);
                    return Err(error);
                }
                Some(Ok((fd, peer))) => {
                    self.note_accepted();
                    return self.register(Socket::new(fd, &peer), peer);
                }
                None => {}
            }
        }
    }

    /// Waits for a connection of any socket. Returns `None` if the set may not be accepted from any
    /// more.
    async fn accepted_or_change(&self, set: &SocketSet, seen: usize) -> Option<Accepted> {
        let mut change = pin!(self.tracker.change_after(seen));
        // Few sockets need no allocation. One that is absent stays pending.
        let mut sockets = set.in_turn();
        let mut first = pin!(accept_from(sockets.next()));
        let mut second = pin!(accept_from(sockets.next()));
        let mut third = pin!(accept_from(sockets.next()));
        let mut fourth = pin!(accept_from(sockets.next()));
        let others = sockets.map(|socket| Box::pin(accept_from(Some(socket))));
        let mut others: Vec<_> = others.collect();
        let accepted = poll_fn(|cx| {
            if change.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            // Each waits for its socket, so none after the first connection is polled.
            let few = [&mut first, &mut second, &mut third, &mut fourth];
            let few = few.into_iter().map(Pin::as_mut);
            let mut all = few.chain(others.iter_mut().map(Pin::as_mut));
            let accepted = all.find_map(|accept| match accept.poll(cx) {
                Poll::Ready(accepted) => Some(accepted),
                Poll::Pending => None,
            });
            if accepted.is_none() {
                self.note_queue_empty();
            }
            accepted.map_or(Poll::Pending, |accepted| Poll::Ready(Some(accepted)))
        });
        accepted.await
    }

    /// Registers a connection with the runtime.
    pub(crate) fn register(
        &self,
        socket: Socket,
        peer: Addr,
    ) -> io::Result<(Stream<AsyncSocket>, Addr)> {
        let socket = AsyncSocket::register(socket).inspect_err(|error| self.note_error(error))?;
        Ok((Stream::new(socket, &self.tracker), peer))
    }
}

/// A connection that is not registered with the runtime yet.
type Accepted = io::Result<(OwnedFd, Addr)>;

fn accept_now(listener: &OwnedFd) -> Accepted {
    accept(listener.as_fd(), AcceptMode::NonBlocking)
}

/// Waits for a connection of one socket. Without a socket it stays pending.
async fn accept_from(socket: Option<&Arc<SharedSocket>>) -> Accepted {
    let Some(socket) = socket else {
        return pending().await;
    };
    let on_tokio = socket.on_tokio()?;
    on_tokio.async_io(Interest::READABLE, accept_now).await
}

impl SocketSet {
    /// Accepts from the first socket in turn that the runtime knows to be readable; `None` if there
    /// is none.
    ///
    /// After a connection the socket counts as readable until its queue is empty.
    fn try_accept(&self) -> Option<Accepted> {
        self.in_turn().find_map(|socket| {
            let on_tokio = socket.on_tokio.get()?;
            let accepted = on_tokio.try_io(Interest::READABLE, accept_now);
            let is_empty = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
            (!accepted.as_ref().is_err_and(is_empty)).then_some(accepted)
        })
    }
}

impl SharedSocket {
    /// Returns a second descriptor of the socket: the runtime has to own the one that it waits for.
    fn on_tokio(&self) -> io::Result<&AsyncFd<OwnedFd>> {
        if let Some(listener) = self.on_tokio.get() {
            return Ok(listener);
        }
        let copy = self.as_fd().try_clone_to_owned()?;
        let listener = watch(copy)?;
        // If another task did the same meanwhile, one of the two copies is dropped.
        Ok(self.on_tokio.get_or_init(|| listener))
    }
}

impl AsyncRead for Stream<AsyncSocket> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, has_space) = (buffer.filled().len(), buffer.remaining() > 0);
        let result = Pin::new(&mut self.io).poll_read(cx, buffer);
        let is_end =
            has_space && matches!(result, Poll::Ready(Ok(()))) && buffer.filled().len() == before;
        self.note_poll(cx, result, is_end)
    }
}

impl AsyncWrite for Stream<AsyncSocket> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Shutdown, TcpListener as Bound, TcpStream as Client};
    use std::task::{Wake, Waker};

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpStream;

    use super::*;
    use crate::net::AcceptGate;
    use crate::net::shared_socket::SlotSocket;

    /// Counts how often the task is woken.
    #[derive(Default)]
    struct Count(std::sync::atomic::AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("descriptors").block_on(future)
    }

    /// A connection whose client has sent `bytes` and closed its sending side before the socket is
    /// registered with the runtime.
    async fn half_closed(bytes: &[u8]) -> (Stream<AsyncSocket>, Client) {
        let bound = Bound::bind("127.0.0.1:0").expect("a free port");
        let mut client = Client::connect(bound.local_addr().expect("bound")).expect("it listens");
        client.write_all(bytes).expect("there is space");
        client.shutdown(Shutdown::Write).expect("it is connected");
        let (io, _) = bound.accept().expect("a client waits");
        io.set_nonblocking(true).expect("a socket");
        let io = TcpStream::from_std(io).expect("a runtime");
        let tracker = crate::net::ConnTracker::new(|| {}, || {}).expect("descriptors");
        // The runtime has seen the bytes and the end by now.
        io.readable().await.expect("the client has ended");
        (
            Stream::new(AsyncSocket::Tcp(io), &Arc::new(tracker)),
            client,
        )
    }

    fn poll_once(stream: &mut Stream<AsyncSocket>, waker: &Waker) -> Poll<io::Result<usize>> {
        let mut bytes = [0; 64];
        let mut read = pin!(stream.read(&mut bytes));
        read.as_mut().poll(&mut Context::from_waker(waker))
    }

    async fn is_pending<F: Future>(future: F) -> bool {
        let mut future = pin!(future);
        poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
    }

    /// A listener whose gate is closed, and a client that waits in the queue.
    fn gated() -> (Listener, Client) {
        let bound = Bound::bind("127.0.0.1:0").expect("a free port");
        let client = Client::connect(bound.local_addr().expect("bound")).expect("it listens");
        let listener = Listener::try_from(bound).expect("descriptors");
        listener.tracker.close_gate(AcceptGate::Master);
        (listener, client)
    }

    #[test]
    fn opening_the_gate_wakes_an_accept() {
        block_on(async {
            let (listener, _client) = gated();
            let mut accept = pin!(listener.accept());
            assert!(is_pending(accept.as_mut()).await);
            listener.tracker.open_gate(AcceptGate::Master);
            accept.await.expect("a client");
        });
    }

    #[test]
    fn an_accept_that_waits_takes_nothing_after_the_gate_has_closed() {
        block_on(async {
            let (listener, first) = gated();
            listener.tracker.open_gate(AcceptGate::Master);
            listener.accept().await.expect("a client");
            let mut accept = pin!(listener.accept());
            assert!(is_pending(accept.as_mut()).await);
            listener.tracker.close_gate(AcceptGate::Readiness);
            let addr = first.peer_addr().expect("it is connected");
            let _second = Client::connect(addr).expect("it listens");
            for _ in 0..3 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                assert!(is_pending(accept.as_mut()).await);
            }
            listener.tracker.open_gate(AcceptGate::Readiness);
            accept.await.expect("a client");
        });
    }

    #[test]
    fn an_accept_waits_for_every_socket_and_a_drain_empties_all() {
        block_on(async {
            let bound = [(); 2].map(|()| Bound::bind("127.0.0.1:0").expect("a free port"));
            let addrs = bound.each_ref().map(|one| one.local_addr().expect("bound"));
            for one in &bound {
                one.set_nonblocking(true).expect("a socket");
            }
            let tracker =
                Arc::new(crate::net::ConnTracker::new(|| {}, || {}).expect("descriptors"));
            let listener = {
                let of_slot_0 = |fd| SlotSocket { slot: 0, fd };
                let sockets = bound.map(OwnedFd::from).map(of_slot_0).into();
                Listener::new(0, addrs[0].into(), Some(sockets), &tracker)
            };
            let connect = |index: usize| Client::connect(addrs[index]).expect("it listens");
            let accept = async || {
                let (stream, _) = listener.accept().await.expect("a client");
                let AsyncSocket::Tcp(tcp) = &stream.io else {
                    panic!("not TCP");
                };
                let local = tcp.local_addr().expect("a connection");
                addrs.iter().position(|addr| *addr == local)
            };
            for index in [0, 1, 1, 0] {
                let mut accept = pin!(accept());
                assert!(is_pending(accept.as_mut()).await);
                let _client = connect(index);
                assert_eq!(accept.await, Some(index));
            }
            let _clients = [0, 0, 0, 0, 1, 1].map(connect);
            // The runtime learns which sockets are readable only while the task waits.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            let mut first = Vec::new();
            for _ in 0..4 {
                first.extend(accept().await);
            }
            first.sort_unstable();
            assert_eq!(
                first,
                [0, 0, 1, 1],
                "a busy socket does not delay the other one"
            );
            let _late = connect(1);
            tracker.begin_drain(crate::net::DrainPolicy {
                until: std::time::Instant::now() + std::time::Duration::from_secs(30),
                leaves_backlog: false,
                frees_address: false,
            });
            let mut rest = Vec::new();
            for _ in 0..3 {
                rest.extend(accept().await);
            }
            rest.sort_unstable();
            assert_eq!(rest, [0, 0, 1]);
            assert!(is_pending(accept()).await);
            assert_eq!(tracker.progress().listeners, 0);
        });
    }

    /// A socket of a slot, and a copy as the master holds it.
    fn slot_socket(slot: usize) -> (SlotSocket, Bound) {
        let bound = Bound::bind("127.0.0.1:0").expect("a free port");
        bound.set_nonblocking(true).expect("a socket");
        let fd = bound.try_clone().expect("descriptors").into();
        (SlotSocket { slot, fd }, bound)
    }

    fn copy_of(bound: &Bound, slot: usize) -> SlotSocket {
        let fd = bound.try_clone().expect("descriptors").into();
        SlotSocket { slot, fd }
    }

    fn connect_to(bound: &Bound) -> Client {
        Client::connect(bound.local_addr().expect("bound")).expect("it listens")
    }

    /// The number of other descriptors of this socket.
    fn copies(bound: &Bound) -> usize {
        let inode = nix::sys::stat::fstat(bound).expect("a socket").st_ino;
        let link = format!("socket:[{inode}]");
        let entries = std::fs::read_dir("/proc/self/fd").expect("it is mounted");
        let links = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        links.filter(|to| to.as_os_str() == link.as_str()).count() - 1
    }

    #[test]
    fn a_pending_accept_gets_an_adopted_socket_and_loses_a_released_one() {
        block_on(async {
            let (own, of_own) = slot_socket(0);
            let (other, of_other) = slot_socket(1);
            let addr = of_own.local_addr().expect("bound").into();
            let tracker =
                Arc::new(crate::net::ConnTracker::new(|| {}, || {}).expect("descriptors"));
            let listener = Listener::new(0, addr, Some(vec![own]), &tracker);
            let sockets = listener.sockets().upgrade().expect("it is not dropped");
            let _waits = connect_to(&of_other);
            {
                let mut accepts = [Box::pin(listener.accept()), Box::pin(listener.accept())];
                for accept in &mut accepts {
                    assert!(is_pending(accept.as_mut()).await);
                }
                sockets.adopt(other);
                let [one, other] = accepts;
                one.await.expect("the client that waits");
                let _client = connect_to(&of_other);
                other.await.expect("the next client");
            }
            let mut accept = pin!(listener.accept());
            assert!(is_pending(accept.as_mut()).await);
            assert_eq!(copies(&of_other), 2, "one is registered with the runtime");
            sockets.release(1);
            let _waits = connect_to(&of_other);
            assert!(is_pending(accept.as_mut()).await);
            assert_eq!(copies(&of_other), 0);
            of_other.accept().expect("the client waits in the queue");

            sockets.release(0);
            assert!(is_pending(accept.as_mut()).await);
            assert_eq!((copies(&of_own), tracker.progress().listeners), (0, 0));
            sockets.adopt(copy_of(&of_own, 0));
            let _client = connect_to(&of_own);
            accept.await.expect("a client");
        });
    }

    #[test]
    fn an_accept_waits_for_more_sockets_than_it_has_space_for() {
        block_on(async {
            let (sockets, bound): (Vec<_>, Vec<_>) = (0..6).map(slot_socket).unzip();
            let addr = bound[0].local_addr().expect("bound").into();
            let tracker =
                Arc::new(crate::net::ConnTracker::new(|| {}, || {}).expect("descriptors"));
            let listener = Listener::new(0, addr, Some(sockets), &tracker);
            for one in &bound {
                let mut accept = pin!(listener.accept());
                assert!(is_pending(accept.as_mut()).await);
                let _client = connect_to(one);
                accept.await.expect("a client");
            }
        });
    }

    #[test]
    fn a_task_that_accepts_without_a_pause_yields() {
        block_on(async {
            let (own, bound) = slot_socket(0);
            let addr = bound.local_addr().expect("bound").into();
            let tracker =
                Arc::new(crate::net::ConnTracker::new(|| {}, || {}).expect("descriptors"));
            let listener = Listener::new(0, addr, Some(vec![own]), &tracker);
            let has_run = Arc::<std::sync::atomic::AtomicBool>::default();
            let other = tokio::spawn({
                let has_run = Arc::clone(&has_run);
                async move { has_run.store(true, std::sync::atomic::Ordering::SeqCst) }
            });
            // Each accept finds a connection, so that none has to wait.
            let mut accepts = 0;
            while !has_run.load(std::sync::atomic::Ordering::SeqCst) {
                let _client = connect_to(&bound);
                listener.accept().await.expect("a client");
                accepts += 1;
                assert!(accepts < 10_000, "the other task does not run");
            }
            other.await.expect("it does not panic");
        });
    }

    #[test]
    fn random_changes_lose_no_connection_and_no_descriptor() {
        const STEPS: usize = 1_000;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        let seed = u64::from(std::process::id()) ^ 0x2545_f491_4f6c_dd1d;
        println!("seed {seed}");
        let mut state = seed | 1;
        let mut random = |below: usize| {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).expect("31 bits") % below
        };
        runtime.expect("descriptors").block_on(async {
            let bound: Vec<Bound> = (0..4).map(|slot| slot_socket(slot).1).collect();
            let addr = bound[0].local_addr().expect("bound").into();
            let tracker =
                Arc::new(crate::net::ConnTracker::new(|| {}, || {}).expect("descriptors"));
            let listener = Listener::new(0, addr, Some(Vec::new()), &tracker);
            let sockets = listener.sockets().upgrade().expect("it is not dropped");
            let (listener, accepted) = (Arc::new(listener), Arc::<Count>::default());
            let tasks = [(); 3].map(|()| {
                let (listener, accepted) = (Arc::clone(&listener), Arc::clone(&accepted));
                tokio::spawn(async move {
                    loop {
                        listener.accept().await.expect("a client");
                        accepted.wake_by_ref();
                    }
                })
            });
            let count = || accepted.0.load(std::sync::atomic::Ordering::SeqCst);
            let mut clients = Vec::new();
            for _ in 0..STEPS {
                let slot = random(bound.len());
                match random(4) {
                    0 => sockets.adopt(copy_of(&bound[slot], slot)),
                    1 => sockets.release(slot),
                    2 => clients.push(connect_to(&bound[slot])),
                    _ => tokio::task::yield_now().await,
                }
            }
            for (slot, one) in bound.iter().enumerate() {
                sockets.adopt(copy_of(one, slot));
            }
            let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
            let wait = std::time::Duration::from_millis(1);
            while count() < clients.len() || bound.iter().any(|one| copies(one) != 2) {
                assert!(
                    std::time::Instant::now() < end,
                    "{} of {}",
                    count(),
                    clients.len()
                );
                tokio::time::sleep(wait).await;
            }
            assert_eq!(count(), clients.len());
            for task in tasks {
                task.abort();
                assert!(task.await.is_err_and(|error| error.is_cancelled()));
            }
            drop(listener);
            assert!(bound.iter().all(|one| copies(one) == 0));
            assert_eq!(tracker.progress().listeners, 0);
        });
    }

    #[test]
    fn a_connection_of_a_unix_socket_reads_and_writes() {
        use tokio::io::AsyncWriteExt;

        block_on(async {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let path = directory.path().join("app.sock");
            let bound = std::os::unix::net::UnixListener::bind(&path).expect("a free path");
            let listener = Listener::try_from(bound).expect("descriptors");
            let mut accept = pin!(listener.accept());
            assert!(is_pending(accept.as_mut()).await);
            let client = tokio::net::UnixStream::connect(&path).await;
            let mut client = client.expect("it listens");
            let (mut stream, peer) = accept.await.expect("a client");
            assert_eq!(peer, Addr::UnixUnnamed);
            client.write_all(b"ping").await.expect("there is space");
            let mut text = [0; 4];
            stream.read_exact(&mut text).await.expect("a client");
            stream.write_all(&text).await.expect("there is space");
            stream.shutdown().await.expect("a connection");
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.expect("a server");
            assert_eq!(all, b"ping");
        });
    }

    #[test]
    fn an_accept_that_is_cancelled_at_a_closed_gate_loses_no_connection() {
        block_on(async {
            let (listener, _client) = gated();
            let (one, other) = (listener.accept(), listener.accept());
            assert!(is_pending(one).await && is_pending(other).await);
            assert_eq!(listener.tracker.progress().unread, 0);
            listener.tracker.open_gate(AcceptGate::Master);
            listener.accept().await.expect("a client");
        });
    }

    #[test]
    fn a_drain_ends_an_accept_at_a_closed_gate_and_leaves_the_queue() {
        block_on(async {
            let (listener, _client) = gated();
            let copy = listener.as_fd().try_clone_to_owned().expect("descriptors");
            let copy = Bound::from(copy);
            let mut accept = pin!(listener.accept());
            assert!(is_pending(accept.as_mut()).await);
            listener.tracker.begin_drain(crate::net::DrainPolicy {
                until: std::time::Instant::now() + std::time::Duration::from_secs(30),
                leaves_backlog: true,
                frees_address: false,
            });
            assert!(is_pending(accept.as_mut()).await);
            assert_eq!(listener.tracker.progress().listeners, 0);
            copy.set_nonblocking(false).expect("a socket");
            copy.accept().expect("the client still waits");
        });
    }

    #[test]
    fn the_end_after_a_request_is_reported_one_poll_late() {
        block_on(async {
            let (mut stream, _client) = half_closed(b"request").await;
            let count = Arc::new(Count::default());
            let waker = Waker::from(Arc::clone(&count));
            assert!(matches!(poll_once(&mut stream, &waker), Poll::Ready(Ok(7))));
            assert!(poll_once(&mut stream, &waker).is_pending());
            assert_eq!(count.0.load(std::sync::atomic::Ordering::SeqCst), 1);
            assert!(matches!(poll_once(&mut stream, &waker), Poll::Ready(Ok(0))));
        });
    }

    #[test]
    fn the_end_of_a_client_that_sent_nothing_is_reported_at_once() {
        block_on(async {
            let (mut stream, _client) = half_closed(b"").await;
            let poll = poll_once(&mut stream, Waker::noop());
            assert!(matches!(poll, Poll::Ready(Ok(0))));
        });
    }

    #[test]
    fn a_read_into_an_empty_buffer_is_not_taken_for_the_end() {
        block_on(async {
            let (mut stream, _client) = half_closed(b"request").await;
            let poll = |stream: &mut Stream<AsyncSocket>, bytes: &mut [u8]| {
                let mut read = pin!(stream.read(bytes));
                let mut cx = Context::from_waker(Waker::noop());
                read.as_mut().poll(&mut cx)
            };
            assert!(matches!(poll(&mut stream, &mut [0]), Poll::Ready(Ok(1))));
            assert!(matches!(poll(&mut stream, &mut []), Poll::Ready(Ok(0))));
        });
    }

    #[test]
    fn a_read_to_the_end_returns_all_bytes() {
        block_on(async {
            let (mut stream, _client) = half_closed(b"request").await;
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.expect("a connection");
            assert_eq!(all, b"request");
        });
    }
}
