//! Loads of TLS: handshakes as fast as they are answered, handshakes at fixed times, and clients
//! who never begin theirs.

use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::task::JoinSet;
use tokio::time;

use crate::figure::seconds;
use crate::tls_client::TlsClient;

/// How many handshakes are under way at any time, for each thread.
const CLIENTS: usize = 16;

/// A handshake costs a client as much as the server: one thread would not keep a worker busy.
const THREADS: usize = 2;

/// Asks for so long, on a new connection each; counts the answers.
pub(crate) fn as_fast_as_can_be(client: &TlsClient, addr: SocketAddr, period: Duration) -> u64 {
    let end = Instant::now() + period;
    let ask = || {
        block_on(async {
            let mut clients = JoinSet::new();
            for _ in 0..CLIENTS {
                clients.spawn(ask_until(client.clone(), addr, end));
            }
            clients.join_all().await.into_iter().sum::<u64>()
        })
    };
    thread::scope(|scope| {
        let threads = [(); THREADS].map(|()| scope.spawn(ask));
        let answers = threads.map(|thread| thread.join().expect("every request is answered"));
        answers.into_iter().sum()
    })
}

async fn ask_until(client: TlsClient, addr: SocketAddr, end: Instant) -> u64 {
    let mut buffer = Vec::with_capacity(1024);
    let mut answers = 0;
    while Instant::now() < end {
        let answered = client.ask(addr, &mut buffer).await;
        answered.expect("every request is answered");
        answers += 1;
    }
    answers
}

/// Asks so many times in a second, whether others were answered or not: how long each took, in
/// seconds from the moment when it was due.
pub(crate) fn at_a_rate(
    client: &TlsClient,
    addr: SocketAddr,
    rate: u32,
    period: Duration,
) -> Vec<f64> {
    let end = Instant::now() + period;
    block_on(async {
        let mut requests = JoinSet::new();
        let mut ticks = time::interval(Duration::from_secs(1) / rate);
        while Instant::now() < end {
            let due = ticks.tick().await;
            let client = client.clone();
            requests.spawn(async move {
                let answered = client.ask(addr, &mut Vec::with_capacity(1024)).await;
                answered.expect("every request is answered");
                seconds(due.elapsed())
            });
        }
        requests.join_all().await
    })
}

/// Clients who have connected and say nothing, until they are dropped.
pub(crate) fn silent(addr: SocketAddr, count: usize) -> Vec<TcpStream> {
    let connect = |_| TcpStream::connect(addr).expect("somebody listens");
    (0..count).map(connect).collect()
}

fn block_on<T>(load: impl Future<Output = T>) -> T {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(load)
}
