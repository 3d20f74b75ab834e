//! A TLS listener on a free port, clients for it, and the runtimes on which both run.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::{Duration, Instant};

use prefork_options::Addr;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, client};

use crate::net::shared_socket::SlotSocket;
use crate::net::{AsyncSocket, ConnTracker, DrainPolicy, Listener, Stream, TlsListener, TlsStream};

/// The time limit of each test. Nothing takes as long, unless it never happens.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a test on a runtime with one thread, and on one with several.
pub(super) fn on_each_runtime<F: Future<Output = ()>>(test: impl Fn() -> F) {
    let mut several = Builder::new_multi_thread();
    for builder in [
        &mut Builder::new_current_thread(),
        several.worker_threads(3),
    ] {
        let runtime = builder.enable_all().build().expect("a runtime");
        let ended = runtime.block_on(async { timeout(PATIENCE, test()).await });
        ended.expect("a test that ends");
    }
}

/// A listener with its tracker, and counters of the tracker's callbacks.
pub(super) struct TlsStage {
    pub(super) listener: Arc<TlsListener>,
    pub(super) addr: SocketAddr,
    pub(super) tracker: Arc<ConnTracker>,
    pub(super) changes: Arc<AtomicUsize>,
    pub(super) accepts: Arc<AtomicUsize>,
}

impl TlsStage {
    pub(super) fn new() -> Self {
        Self::with(|listener| listener)
    }

    pub(super) fn with(options: impl FnOnce(TlsListener) -> TlsListener) -> Self {
        let (socket, addr) = bound();
        Self::over(addr, [socket], options)
    }

    /// A listener with two sockets, and the address of the second one.
    pub(super) fn with_two_sockets() -> (Self, SocketAddr) {
        let ((first, addr), (second, other)) = (bound(), bound());
        (
            Self::over(addr, [first, second], |listener| listener),
            other,
        )
    }

    fn over(
        addr: SocketAddr,
        sockets: impl IntoIterator<Item = std::net::TcpListener>,
        options: impl FnOnce(TlsListener) -> TlsListener,
    ) -> Self {
        let (changes, accepts) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let count = |counter: &Arc<AtomicUsize>| {
            let counter = Arc::clone(counter);
            move || {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        };
        let tracker = ConnTracker::new(count(&accepts), count(&changes)).expect("descriptors");
        let tracker = Arc::new(tracker);
        let sockets = sockets.into_iter().map(|socket| SlotSocket {
            slot: 0,
            fd: socket.into(),
        });
        let plain = Listener::new(0, addr.into(), Some(sockets.collect()), &tracker);
        let listener = options(TlsListener::new(plain, server_config()));
        Self {
            listener: Arc::new(listener),
            addr,
            tracker,
            changes,
            accepts,
        }
    }

    /// Sets options of a listener that already accepts.
    pub(super) fn change(&mut self, options: impl FnOnce(TlsListener) -> TlsListener) {
        let spare = Arc::clone(&Self::new().listener);
        let listener = std::mem::replace(&mut self.listener, spare);
        let listener = Arc::into_inner(listener).expect("the only reference");
        self.listener = Arc::new(options(listener));
    }

    /// Accepts connections and echoes their bytes, as long as the runtime exists.
    pub(super) fn echo(&self) {
        let listener = Arc::clone(&self.listener);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a client");
                tokio::spawn(echo(stream));
            }
        });
    }

    /// Stays in accept until `count` connections are unread.
    pub(super) async fn let_in(&self, count: usize) {
        let mut accept = pin!(self.listener.accept());
        until(async || {
            let is_pending = poll_once(accept.as_mut()).await.is_pending();
            assert!(is_pending, "no client completes its handshake meanwhile");
            self.tracker.progress().unread == count
        })
        .await;
    }

    pub(super) fn begin_drain(&self) {
        self.tracker.begin_drain(DrainPolicy {
            until: Instant::now() + PATIENCE,
            leaves_backlog: false,
            frees_address: false,
        });
    }

    /// Waits until the listener has ended; its socket is closed before.
    pub(super) async fn until_closed(&self) {
        until(async || self.tracker.progress().listeners == 0).await;
    }

    pub(super) async fn is_accept_pending(&self) -> bool {
        poll_once(pin!(self.listener.accept())).await.is_pending()
    }

    pub(super) async fn connect_plain(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.expect("a listener")
    }

    pub(super) async fn connect(&self) -> client::TlsStream<TcpStream> {
        speak_tls(self.connect_plain().await).await
    }

    /// Starts a client on a task. It sends `text` and waits for the echo.
    pub(super) fn client(&self, text: &'static [u8]) -> tokio::task::JoinHandle<()> {
        let addr = self.addr;
        tokio::spawn(async move {
            let io = TcpStream::connect(addr).await.expect("a listener");
            ask(&mut speak_tls(io).await, text).await;
        })
    }
}

fn bound() -> (std::net::TcpListener, SocketAddr) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    socket.set_nonblocking(true).expect("a socket");
    let addr = socket.local_addr().expect("an address");
    (socket, addr)
}

pub(super) async fn echo(mut stream: TlsStream) {
    let mut buffer = [0; 64];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        stream.write_all(&buffer[..count]).await.expect("a client");
    }
    let _ = stream.shutdown().await;
}

/// One connection that a plain tokio listener accepted: its server side and its client side.
pub(super) async fn connection() -> (Stream<AsyncSocket>, Addr, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let client = TcpStream::connect(addr).await.expect("a listener");
    let (accepted, peer) = listener.accept().await.expect("a client");
    let tracker = TlsStage::new().tracker;
    let accepted = AsyncSocket::Tcp(accepted);
    (Stream::new(accepted, &tracker), peer.into(), client)
}

/// Sends `text` and waits for the echo.
pub(super) async fn ask(stream: &mut client::TlsStream<TcpStream>, text: &[u8]) {
    stream.write_all(text).await.expect("a server");
    let mut received = vec![0; text.len()];
    stream.read_exact(&mut received).await.expect("an answer");
    assert_eq!(received, text);
}

pub(super) async fn speak_tls(io: TcpStream) -> client::TlsStream<TcpStream> {
    let connector = TlsConnector::from(client_config(rustls::ALL_VERSIONS));
    connector.connect(name(), io).await.expect("a handshake")
}

/// A client that trusts another CA and sends an alert. Its side of the connection stays open.
pub(super) async fn refuse(version: &'static SupportedProtocolVersion, io: TcpStream) -> TcpStream {
    let mut params = rcgen::CertificateParams::default();
    // Another name, so that this is not the server's CA with a wrong signature.
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "another authority");
    let key = rcgen::KeyPair::generate().expect("a key");
    let root = params.self_signed(&key).expect("a certificate");
    let connector = TlsConnector::from(trusting(root.der().clone(), &[version]));
    let handshake = connector.connect(name(), io).into_fallible().await;
    handshake.expect_err("a refusal").1
}

pub(super) async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Waits until `fact` returns true. No test relies on the time between two calls.
pub(super) async fn until(mut fact: impl AsyncFnMut() -> bool) {
    while !fact().await {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Whether the other side has sent nothing and not closed.
///
/// Asks the kernel: the runtime may return an older state.
pub(super) fn is_open(stream: &TcpStream) -> bool {
    let peeked = socket2::SockRef::from(stream).peek(&mut [std::mem::MaybeUninit::uninit()]);
    peeked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Waits until the other side has closed. Returns the bytes that it sent before.
pub(super) async fn until_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    match stream.read_to_end(&mut received).await {
        Ok(_) => received,
        Err(error) => panic!("reset after {received:?}: {error}"),
    }
}

pub(super) fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("a name")
}

pub(super) fn server_config() -> Arc<ServerConfig> {
    let (certificate, key) = identity();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    let mut config = config.expect("a pair");
    config.alpn_protocols = vec![b"echo".to_vec()];
    Arc::new(config)
}

pub(super) fn client_config(versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    trusting(identity().0, versions)
}

fn trusting(
    root: CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(root).expect("a certificate");
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"echo".to_vec()];
    Arc::new(config)
}

fn identity() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    static IDENTITY: OnceLock<rcgen::CertifiedKey<rcgen::KeyPair>> = OnceLock::new();
    let identity = IDENTITY.get_or_init(|| {
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate")
    });
    let key = PrivateKeyDer::try_from(identity.signing_key.serialize_der()).expect("a key");
    (identity.cert.der().clone(), key)
}
