//! Loads on small servers that follow a script.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use super::*;
use crate::{TIMEOUT, eventually, reserve_addr};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nx-worker-pid: 7\r\ncontent-length: 2\r\n\r\nok";

/// Starts a server that calls the function for each connection, on a thread of its own.
fn serve(script: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let script = Arc::new(script);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let script = Arc::clone(&script);
            thread::spawn(move || script(stream));
        }
    });
    addr
}

/// Starts a server that answers the first requests of each connection with these bytes, and then
/// closes it.
fn answering(answers: &[&[u8]]) -> SocketAddr {
    let answers: Vec<Vec<u8>> = answers.iter().map(|answer| answer.to_vec()).collect();
    serve(move |mut stream| {
        for answer in &answers {
            if !read_request(&mut stream) {
                return;
            }
            // The client may have closed the connection.
            let _ = stream.write_all(answer);
        }
    })
}

/// Reads the head of a request. Returns false at the end of the connection.
fn read_request(stream: &mut impl Read) -> bool {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => request.push(byte[0]),
            _ => return false,
        }
    }
    true
}

/// Closes a connection once it has unread bytes, so that the kernel resets it.
fn close_with_unread_bytes(stream: &TcpStream) {
    let _ = stream.peek(&mut [0]);
}

fn reset(stream: &TcpStream) {
    let linger = SockRef::from(stream).set_linger(Some(Duration::ZERO));
    linger.expect("TCP has SO_LINGER");
}

/// Waits until the client closes the connection.
fn wait_for_end(stream: &mut TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

/// One request, with a limit that no test reaches unless it waits for it.
fn one(addr: SocketAddr) -> Load {
    Load::new(addr).connections(1).requests(1).timeout(TIMEOUT)
}

/// One request, with a limit that the test reaches.
fn short(addr: SocketAddr) -> Load {
    one(addr).timeout(Duration::from_millis(200))
}

/// The one failure of a load with one request.
#[track_caller]
fn failure(load: Load) -> FailedRequest {
    let report = load.run();
    let [failed] = report.failures() else {
        panic!("not one failure\n{report}");
    };
    assert_eq!(report.failed_with(failed.failure), 1);
    assert_eq!(report.answered(), 0);
    failed.clone()
}

fn panic_message(call: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(call)).expect_err("it panics");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().expect("a text")).to_owned(),
    }
}

// What happens on the wire.

#[test]
fn an_address_without_a_listener_refuses() {
    let reserved = reserve_addr();
    let failed = failure(one(reserved.addr()));
    assert_eq!(failed.failure, Failure::Refused);
    assert_eq!(failed.phase, Phase::Connecting);
    assert_eq!(failed.local_port, None);
}

#[test]
fn a_full_queue_times_out_while_connecting() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let addr: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&addr.into()).expect("a free port");
    socket.listen(0).expect("it is bound");
    let addr = socket.local_addr().expect("it is bound").as_socket();
    let addr = addr.expect("an IP address");
    // The queue has space for one connection. The kernel drops the packets of the next ones.
    let _first = TcpStream::connect(addr).expect("space for one");
    let failed = failure(short(addr));
    let phase = Phase::Connecting;
    assert_eq!(failed.failure, Failure::TimedOut { phase });
}

#[test]
fn an_unread_request_is_reset() {
    let addr = serve(|stream| close_with_unread_bytes(&stream));
    let failed = failure(one(addr));
    assert_eq!(failed.failure, Failure::ResetBeforeResponse);
    assert!(failed.local_port.is_some());
    assert_eq!((failed.served_before, failed.pid), (0, None));
}

#[test]
fn a_request_that_was_read_gets_an_empty_response() {
    let addr = serve(|mut stream| assert!(read_request(&mut stream)));
    let failed = failure(one(addr));
    assert_eq!(failed.failure, Failure::Empty);
    assert_eq!(failed.phase, Phase::Waiting);
}

#[test]
fn a_response_that_ends_early_is_short() {
    let cases: [(&[u8], Phase); 4] = [
        (b"HTTP/1.1 200 OK\r\ncontent-", Phase::Head),
        (b"HTTP/1.1 100 Continue\r\n\r\n", Phase::Head),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello",
            Phase::Body,
        ),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
            Phase::Body,
        ),
    ];
    for (bytes, phase) in cases {
        let failed = failure(one(answering(&[bytes])));
        assert_eq!((failed.failure, failed.phase), (Failure::Short, phase));
    }
    // Only a reset shows that a body without a length is incomplete.
    let addr = serve(|mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello");
        reset(&stream);
    });
    assert_eq!(failure(one(addr)).failure, Failure::Short);
}

#[test]
fn every_wait_for_the_server_has_a_limit() {
    let hanging = |bytes: &'static [u8]| {
        serve(move |mut stream| {
            let _ = stream.write_all(bytes);
            wait_for_end(&mut stream);
        })
    };
    let endless = serve(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    let slow = serve(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"x: y\r\n").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let cases = [
        (hanging(b""), Phase::Waiting),
        (hanging(b"HTTP/1.1 "), Phase::Head),
        (
            hanging(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello"),
            Phase::Body,
        ),
        (endless, Phase::Body),
        (slow, Phase::Head),
    ];
    for (addr, phase) in cases {
        let began = Instant::now();
        let failed = failure(short(addr));
        assert_eq!(failed.failure, Failure::TimedOut { phase });
        assert!(failed.ended >= failed.began + Duration::from_millis(200));
        assert!(began.elapsed() < TIMEOUT);
    }
    let unread = serve(|_stream| thread::sleep(TIMEOUT));
    let failed = failure(short(unread).post(vec![b'x'; 32 << 20]));
    let phase = Phase::Sending;
    assert_eq!(failed.failure, Failure::TimedOut { phase });
}

#[test]
fn bytes_that_are_no_response_are_malformed() {
    let mut long = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
    long.resize(1 << 20, b'x');
    let twice = [OK, OK].concat();
    for bytes in [&b"SSH-2.0-OpenSSH_9.9\r\n"[..], &long, &twice] {
        let failed = failure(one(answering(&[bytes])));
        assert_eq!(failed.failure, Failure::Malformed, "{failed}");
    }
}

#[test]
fn bytes_between_two_requests_are_malformed() {
    let addr = serve(|mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(OK);
        thread::sleep(Duration::from_millis(20));
        let _ = stream.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n");
        wait_for_end(&mut stream);
    });
    // The second request is due after the bytes have arrived.
    let report = one(addr).requests(2).rate(2).run();
    assert_eq!(report.failed_with(Failure::Malformed), 1, "{report}");
    assert_eq!(report.answered(), 1);
}

#[test]
fn a_status_of_an_error_is_a_failure_with_the_pid_of_its_response() {
    for status in [101, 404, 503] {
        let text = format!("HTTP/1.1 {status} X\r\nx-worker-pid: 7\r\ncontent-length: 0\r\n\r\n");
        let failed = failure(one(answering(&[text.as_bytes()])));
        assert_eq!(failed.failure, Failure::Status(status));
        assert_eq!(failed.pid, Some(7));
    }
}

#[test]
fn complete_responses_of_all_forms_are_answers() {
    for bytes in [
        OK,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
        b"HTTP/1.1 308 Permanent Redirect\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nends with the connection",
    ] {
        one(answering(&[bytes])).run().assert_no_failures();
    }
}

#[test]
fn an_answer_before_the_end_of_the_request_counts() {
    let addr = serve(|mut stream| {
        let _ = stream.read(&mut [0; 16]);
        let refusal = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n";
        let _ = stream.write_all(refusal);
        // Without this, the close would reset the connection before the client reads the answer.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        wait_for_end(&mut stream);
    });
    let failed = failure(one(addr).post(vec![b'x'; 8 << 20]));
    assert_eq!(failed.failure, Failure::Status(413));
}

/// A server that answers while it reads. No buffer is large enough for the request.
fn echo(mut stream: impl Read + Write) {
    let mut part = vec![0; 64 * 1024];
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n");
    while read_request(&mut stream) && stream.write_all(head.as_bytes()).is_ok() {
        for _ in 0..LARGE / part.len() {
            if stream.read_exact(&mut part).is_err() || stream.write_all(&part).is_err() {
                return;
            }
        }
    }
}

const LARGE: usize = 32 << 20;

#[test]
fn a_large_request_is_sent_while_its_response_is_read() {
    let load = one(serve(echo)).post(vec![b'x'; LARGE]);
    let report = load.requests(2).run();
    report.assert_no_failures();
    assert_eq!(report.connections_opened(), 1);
}

#[test]
fn a_connection_whose_request_is_answered_before_its_end_is_not_used_again() {
    let addr = serve(|mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(OK);
        loop {
            thread::park();
        }
    });
    let report = one(addr).post(vec![b'x'; LARGE]).requests(2).run();
    report.assert_no_failures();
    assert_eq!(report.connections_opened(), 2);
}

#[test]
fn a_client_without_descriptors_names_the_limit() {
    let error = std::io::Error::from_raw_os_error(libc::EMFILE);
    let failure = Failure::Other(error.kind());
    let fault = connection::Fault::new(failure, Phase::Connecting, Some(&error));
    assert!(fault.detail.contains("`ulimit -n`"), "{fault:?}");
}

/// Starts a server with TLS that calls the function for each connection.
#[cfg(feature = "load-tls")]
fn serve_tls(script: impl Fn(&mut TlsServerStream) + Send + Sync + 'static) -> SocketAddr {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = own.signing_key.serialize_der().try_into().expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .expect("the key is the one of the certificate");
    let config = Arc::new(config);
    serve(move |tcp| {
        let connection =
            rustls::ServerConnection::new(Arc::clone(&config)).expect("a valid config");
        script(&mut rustls::StreamOwned::new(connection, tcp));
    })
}

#[cfg(feature = "load-tls")]
type TlsServerStream = rustls::StreamOwned<rustls::ServerConnection, TcpStream>;

#[cfg(feature = "load-tls")]
#[test]
fn a_large_request_is_sent_while_its_response_is_read_over_tls() {
    let addr = serve_tls(|stream| echo(stream));
    let load = one(addr).tls_with_any_certificate();
    let report = load.post(vec![b'x'; LARGE]).requests(2).run();
    report.assert_no_failures();
    assert_eq!(report.connections_opened(), 1);
}

/// A connection can stay idle for longer than the time of a request.
#[cfg(feature = "load-tls")]
#[test]
fn an_idle_connection_is_read_and_closed_after_the_deadline_of_its_last_request() {
    let (sent, is_sent) = std::sync::mpsc::channel();
    let (ended, end) = std::sync::mpsc::channel();
    let (go, goes) = std::sync::mpsc::channel::<()>();
    let goes = std::sync::Mutex::new(goes);
    let addr = serve_tls(move |stream| {
        read_request(stream);
        let _ = stream.write_all(OK);
        let _ = goes.lock().expect("one connection").recv();
        // A record without data, like a session ticket.
        stream.conn.refresh_traffic_keys().expect("TLS 1.3");
        let _ = stream.flush();
        let _ = sent.send(());
        let _ = ended.send(stream.read(&mut [0]).ok());
    });
    let target = Target {
        addr,
        tls: tls::TlsClient::accepting_any("localhost").ok(),
    };
    let deadline = Instant::now() + Duration::from_secs(2);
    let mut connection = connection::Connection::open(&target, deadline).expect("it listens");
    let mut parser = response::ResponseParser::new();
    let request = b"GET / HTTP/1.1\r\n\r\n";
    let answered = connection.exchange(request, deadline, &mut parser);
    answered.expect("the request is answered");
    thread::sleep(deadline.saturating_duration_since(Instant::now()));
    go.send(()).expect("the server waits");
    is_sent.recv().expect("the server sends a record");
    assert_eq!(connection.idle_state(), connection::IdleState::Open);
    connection.close();
    // Zero bytes: the client has announced the end. Without that, the read fails.
    assert_eq!(end.recv().expect("the connection ends"), Some(0));
}

#[cfg(feature = "load-tls")]
#[test]
fn a_failed_handshake_is_not_a_failed_request() {
    let scripts: [(fn(TcpStream), Failure); 4] = [
        (
            |mut stream| drop(stream.read(&mut [0; 4096])),
            Failure::TlsHandshake,
        ),
        (
            |mut stream| {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
                wait_for_end(&mut stream);
            },
            Failure::TlsHandshake,
        ),
        (
            |stream| close_with_unread_bytes(&stream),
            Failure::ResetWhileConnecting,
        ),
        (
            |mut stream| wait_for_end(&mut stream),
            Failure::TimedOut {
                phase: Phase::Handshake,
            },
        ),
    ];
    for (script, expected) in scripts {
        let failed = failure(short(serve(script)).tls_with_any_certificate());
        assert_eq!(
            (failed.failure, failed.phase),
            (expected, Phase::Handshake),
            "{failed}"
        );
        assert!(failed.local_port.is_some());
    }
    let addr = reserve_addr();
    let message = panic_message(|| drop(one(addr.addr()).tls("no certificate").run()));
    assert!(
        message.contains("cannot use TLS: the PEM text of its roots contains no certificate"),
        "{message}"
    );
}

// Kept connections.

#[test]
fn a_connection_carries_many_requests() {
    let addr = answering(&[OK; 100]);
    let report = one(addr).requests(100).run();
    report.assert_no_failures();
    assert_eq!(report.connections_opened(), 1);
    assert_eq!(report.answered_by(7), 100);
    let report = one(addr).requests(100).connection_per_request().run();
    report.assert_no_failures();
    assert_eq!(report.connections_opened(), 100);
}

#[test]
fn a_close_that_the_server_announces_or_makes_between_requests_is_no_failure() {
    let announced = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let report = one(answering(&[announced])).requests(20).run();
    report.assert_no_failures();
    assert_eq!(report.connections_opened(), 20);
    assert_eq!(report.connections_closed_idle(), 0);
    // The next request is due after the close.
    let report = one(answering(&[OK])).requests(3).rate(4).run();
    report.assert_no_failures();
    assert_eq!(report.connections_opened(), 3);
    assert_eq!(report.connections_closed_idle(), 2);
}

#[test]
fn a_kept_connection_closed_before_the_request_is_stale() {
    let addr = serve(|mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(OK);
        close_with_unread_bytes(&stream);
    });
    let report = one(addr).requests(2).run();
    assert_eq!(report.failed_with(Failure::StaleConnection), 1, "{report}");
    let failed = &report.failures()[0];
    assert_eq!((failed.served_before, failed.pid), (1, Some(7)));
}

/// The server ends its direction, and closes the connection only later.
#[test]
fn a_request_that_crosses_a_slow_close_is_stale() {
    let addr = serve(|mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(OK);
        let _ = stream.peek(&mut [0]);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        thread::sleep(Duration::from_millis(100));
    });
    let report = one(addr).requests(4).run();
    assert_eq!(report.failed_with(Failure::StaleConnection), 2, "{report}");
    assert_eq!((report.answered(), report.failed()), (2, 2));
}

/// The client sends after the server has closed.
#[test]
fn a_connection_is_reset_if_the_request_crosses_the_close() {
    let (closed, is_closed) = std::sync::mpsc::channel();
    let addr = serve(move |mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(OK);
        drop(stream);
        let _ = closed.send(());
    });
    let target = Target {
        addr,
        #[cfg(feature = "load-tls")]
        tls: None,
    };
    let deadline = Instant::now() + TIMEOUT;
    let mut connection = connection::Connection::open(&target, deadline).expect("it listens");
    let mut parser = response::ResponseParser::new();
    let request = b"GET / HTTP/1.1\r\n\r\n";
    let answered = connection.exchange(request, deadline, &mut parser);
    answered.expect("the first request is answered");
    connection.usage.served += 1;
    is_closed.recv().expect("the server closes");
    parser.reset();
    let fault = connection
        .exchange(request, deadline, &mut parser)
        .expect_err("the connection is closed");
    assert_eq!(fault.failure, Failure::Empty, "{fault:?}");
    eventually("the reset", || connection.is_reset().then_some(()));
}

#[test]
fn a_request_that_was_read_on_a_kept_connection_is_empty_and_its_worker_is_known() {
    let addr = serve(|mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(OK);
        read_request(&mut stream);
    });
    let report = one(addr).requests(2).run();
    assert_eq!(report.failed_with(Failure::Empty), 1, "{report}");
    let failed = &report.failures()[0];
    assert_eq!((failed.served_before, failed.pid), (1, Some(7)));
}

// The load.

#[test]
fn all_connections_together_send_the_number_of_requests() {
    let report = Load::new(answering(&[OK; 1_000]))
        .connections(50)
        .requests(1_000)
        .run();
    report.assert_no_failures();
    assert_eq!(report.answered(), 1_000);
    assert_eq!(report.pids(), [7]);
    assert!(report.latency(50.0) <= report.latency(99.0));
    assert!(report.latency(100.0) <= report.max_latency());
}

#[test]
fn requests_have_path_headers_and_body() {
    let addr = serve(|mut stream| {
        let mut request = vec![0; 4096];
        let mut length = 0;
        while !request[..length].ends_with(b"body") {
            match stream.read(&mut request[length..]) {
                Ok(count) if count > 0 => length += count,
                _ => return,
            }
        }
        let body = &request[..length];
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        let _ = stream.write_all(&[head.as_bytes(), body].concat());
        wait_for_end(&mut stream);
    });
    let report = one(addr)
        .path("/a?b=c")
        .header("x-test", "1")
        .post("body")
        .server_name("example.com")
        .pid_from(|response| {
            let expected = b"POST /a?b=c HTTP/1.1\r\nhost: example.com\r\nx-test: 1\r\n\
                content-length: 4\r\n\r\nbody";
            (response.status() == 200 && response.body() == expected).then_some(1)
        })
        .run();
    assert_eq!(report.pids(), [1], "{report}");
}

#[test]
fn the_latency_of_a_rate_counts_from_when_a_request_was_due() {
    let pause = Duration::from_millis(500);
    let is_first = std::sync::atomic::AtomicBool::new(true);
    let addr = serve(move |mut stream| {
        while read_request(&mut stream) {
            if is_first.swap(false, std::sync::atomic::Ordering::Relaxed) {
                thread::sleep(pause);
            }
            let _ = stream.write_all(OK);
        }
    });
    let report = one(addr).requests(50).rate(200).run();
    report.assert_no_failures();
    // All 50 were due within a quarter of a second, while the only connection waited.
    assert!(report.latency(1.0) >= pause / 2, "{report}");
    assert!(report.late() >= 48, "{report}");
    // Without a rate, one request has waited.
    assert!(report.max_latency() >= pause, "{report}");
}

#[test]
fn requests_that_were_due_and_did_not_begin_are_counted() {
    let addr = serve(|mut stream| wait_for_end(&mut stream));
    let began = Instant::now();
    let load = short(addr).requests(1_000_000).rate(1_000).start();
    eventually("100 requests are due", || {
        (load.report().elapsed() >= Duration::from_millis(100)).then_some(())
    });
    let report = load.stop();
    assert_eq!(report.answered(), 0);
    // The last ten were due less than 10 ms before the end. The first one may have been in time.
    let due = began.elapsed().as_millis();
    assert!(report.late() >= 89, "{report}");
    assert!(u128::from(report.late()) <= due, "{report}");
}

#[test]
fn a_load_that_has_ended_can_be_stopped_later() {
    let began = Instant::now();
    let load = Load::new(answering(&[OK; 1_000]))
        .rate(100)
        .duration(Duration::from_millis(200))
        .start();
    // Fails at the end of the load.
    panic_message(|| load.wait_for_answers(1_000));
    let ended = began.elapsed();
    thread::sleep(Duration::from_millis(300));
    let report = load.stop();
    report.assert_no_failures();
    assert!(report.elapsed() <= ended, "{report}");
    // In the time of the load, 20 requests were due.
    assert!(report.answered() <= 20 && report.late() <= 20, "{report}");
}

#[test]
fn a_load_ends_when_the_test_stops_it() {
    let addr = answering(&vec![OK; 1_000_000]);
    // A closed loop, and a load whose clients sleep.
    for load in [Load::new(addr), Load::new(addr).rate(1)] {
        let load = load.start();
        load.wait_for_answers(1);
        load.wait_for_answer_by(7);
        let report = load.stop();
        report.assert_no_failures();
        assert!(report.elapsed() < TIMEOUT);
    }
    let report = Load::new(addr).duration(Duration::from_millis(100)).run();
    report.assert_no_failures();
    assert!(report.elapsed() >= Duration::from_millis(100));
}

#[test]
fn a_client_pauses_after_a_failed_connect() {
    let reserved = reserve_addr();
    let report = Load::new(reserved.addr())
        .connections(2)
        .duration(Duration::from_millis(200))
        .run();
    assert!(report.failed() > 0 && report.failed() <= 42, "{report}");
}

#[test]
fn waiting_for_answers_ends_with_the_load() {
    let load = one(answering(&[OK])).start();
    let message = panic_message(|| load.wait_for_answers(3));
    assert!(message.starts_with("the load ended without"), "{message}");
    assert!(message.contains("1 answered, 0 failed"), "{message}");
    let message = panic_message(|| load.wait_for_answer_by(8));
    assert!(message.contains("an answer by pid 8"), "{message}");
    load.wait().assert_no_failures();
}

#[test]
fn a_panic_of_the_pid_function_reaches_the_test() {
    let load = Load::new(answering(&[OK; 9]))
        .connections(1)
        .pid_from(|_| panic!("no pid here"));
    let message = panic_message(|| drop(load.requests(9).run()));
    assert_eq!(message, "no pid here");
}

#[test]
fn a_load_that_cannot_work_is_rejected() {
    let load = || Load::new(SocketAddr::from(([127, 0, 0, 1], 9)));
    let calls: [(&dyn Fn() -> Load, &str); 16] = [
        (&|| load().connections(0), "0 connections"),
        (&|| load().connections(MAX_CONNECTIONS + 1), "1 to 1024"),
        (&|| load().connections(MAX_CONNECTIONS + 1), "`ulimit -n`"),
        (&|| load().rate(0), "rate of 0"),
        (&|| load().requests(0), "0 requests"),
        (&|| load().duration(Duration::ZERO), "duration of 0"),
        (&|| load().timeout(Duration::ZERO), "timeout of 0"),
        (&|| load().path("x"), "\"x\""),
        (&|| load().path("/a b"), "\"/a b\""),
        (&|| load().header("a b", ""), "\"a b\""),
        (&|| load().header("a", "\r\n"), "\"\\r\\n\""),
        (&|| load().header("Host", "a"), "\"Host\" is a header that"),
        (&|| load().timeout(Duration::MAX), "more than a year"),
        (&|| load().duration(Duration::MAX), "more than a year"),
        (&|| load().server_name("http://a/"), "\"http://a/\""),
        (&|| load().path("http://a/"), "it must begin with '/'"),
    ];
    for (call, expected) in calls {
        let message = panic_message(|| drop(call()));
        assert!(message.contains(expected), "{message}");
    }
    let message = panic_message(|| drop(load().run()));
    assert!(message.contains("the load has no end"), "{message}");
}

// The report.

#[test]
fn a_report_names_failures_and_answers() {
    let broken: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello";
    let addr = answering(&[OK, OK, broken]);
    let report = one(addr).requests(6).run();
    let text = report.to_string();
    for expected in [
        format!("load       GET http://{addr}/, 1 kept connection\n"),
        "requests   4 answered, 2 failed in ".to_owned(),
        "latency    p50 ".to_owned(),
        "opened     2 connections\n".to_owned(),
        "answers          4 by pid 7\n".to_owned(),
        "failures         2 × response incomplete\n".to_owned(),
        ", 2 served, pid 7: response incomplete (within the body".to_owned(),
    ] {
        assert!(text.contains(&expected), "{expected:?} is not in\n{text}");
    }
    let message = panic_message(|| report.assert_no_failures());
    assert!(message.starts_with("2 requests failed\n") && message.ends_with(&text));
    report.assert_only(|failed| failed.failure == Failure::Short);
    let message = panic_message(|| report.assert_only(|failed| failed.client > 0));
    assert!(message.starts_with("2 requests failed that may not fail:\n  0."));
    assert!(message.ends_with(&text));
}

#[test]
fn failures_that_the_report_does_not_keep_cannot_be_allowed() {
    let report = one(answering(&[b"-"])).requests(5).max_failures(2).run();
    assert_eq!((report.failed(), report.failures().len()), (5, 2));
    let message = panic_message(|| report.assert_only(|_| true));
    assert!(message.starts_with("3 failures cannot be checked"));
}

#[test]
fn a_report_without_an_answer_passes_no_check() {
    let addr = serve(|mut stream| wait_for_end(&mut stream));
    let load = Load::new(addr).timeout(Duration::from_millis(50)).start();
    let report = load.report();
    assert_eq!((report.answered(), report.failed()), (0, 0));
    assert!(panic_message(|| report.assert_no_failures()).starts_with("no request was answered"));
    assert!(
        panic_message(|| {
            report.latency(50.0);
        })
        .starts_with("no request was answered")
    );
}

#[test]
fn the_exit_of_a_worker_explains_what_was_in_flight_on_it() {
    let addr = serve(|mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(OK);
        read_request(&mut stream);
    });
    let report = one(addr).requests(2).run();
    let failed = &report.failures()[0];
    let ended = failed.start + failed.ended;
    let (before, after) = (failed.start, ended + Duration::from_secs(1));
    assert!(failed.is_explained_by_exit(7, &(before..=after)));
    assert!(failed.is_explained_by_exit(7, &(ended..=after)));
    assert!(!failed.is_explained_by_exit(8, &(before..=after)));
    assert!(!failed.is_explained_by_exit(7, &(after..=after)));
    assert!(!failed.is_explained_by_exit(7, &(before..=failed.start)));
    assert!(failed.began_after(before) && !failed.began_after(ended));

    let refused = failure(one(reserve_addr().addr()));
    let all = refused.start..=Instant::now();
    assert!(refused.was_in_flight_during(&all) && !refused.is_explained_by_exit(7, &all));
}
