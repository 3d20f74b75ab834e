//! TLS loads: handshakes as fast as the server answers, handshakes at fixed times, and clients that
//! connect and send nothing.

use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::task::JoinSet;
use tokio::time;

use crate::figure::seconds;
use crate::tls_client::TlsClient;

/// Number of concurrent clients for each thread.
const CLIENTS: usize = 16;

/// Number of client threads. A handshake costs the client as much processor time as the server, so
/// one thread would not keep a worker busy.
const THREADS: usize = 2;

/// Sends requests for `period`, each on a new connection, and returns the number of responses.
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
        let answers =
            threads.map(|thread| thread.join().expect("the server answers every request"));
        answers.into_iter().sum()
    })
}

async fn ask_until(client: TlsClient, addr: SocketAddr, end: Instant) -> u64 {
    let mut buffer = Vec::with_capacity(1024);
    let mut answers = 0;
    while Instant::now() < end {
        let answered = client.ask(addr, &mut buffer).await;
        answered.expect("the server answers every request");
        answers += 1;
    }
    answers
}

/// Sends `rate` requests per second and returns the time of each in seconds.
///
/// The load does not wait for a response before it sends the next request. A time begins when the
/// request is due.
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
                answered.expect("the server answers every request");
                seconds(due.elapsed())
            });
        }
        requests.join_all().await
    })
}

/// Connects clients that send nothing until they are dropped.
pub(crate) fn silent(addr: SocketAddr, count: usize) -> Vec<TcpStream> {
    let connect = |_| TcpStream::connect(addr).expect("the server listens");
    (0..count).map(connect).collect()
}

fn block_on<T>(load: impl Future<Output = T>) -> T {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the runtime can be built").block_on(load)
}
