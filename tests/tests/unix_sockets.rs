//! Unix sockets: who owns the file, and that no connection is lost.

use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use prefork_testkit::{Output, RunningServer, Server, Signal, eventually};
use prefork_tests::client::{answer_of, send, slot_and_pid};
use prefork_tests::tls::Authority;
use prefork_tests::{READY, proc};
use tempfile::TempDir;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const PLAIN: &str = env!("CARGO_BIN_EXE_plain");
const STANDBY: &str = env!("CARGO_BIN_EXE_standby");
const TLS: &str = env!("CARGO_BIN_EXE_tls");
const RAW_UNIX: &str = env!("CARGO_BIN_EXE_raw_unix");
const RAW_STD: &str = env!("CARGO_BIN_EXE_raw_std");
const TWO_LISTENERS: &str = env!("CARGO_BIN_EXE_two_listeners");
const UNIX_DATAGRAMS: &str = env!("CARGO_BIN_EXE_unix_datagrams");

/// A directory with the path of a socket.
struct SocketDir(TempDir);

impl SocketDir {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("app.sock")
    }

    /// The address, with the name and the scheme before it and the options after it.
    fn listen(&self, before: &str, after: &str) -> String {
        format!("{before}{}{after}", self.path().display())
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(self.0.path()).is_ok_and(|mut files| files.next().is_none())
    }
}

fn server(program: &str, dir: &SocketDir) -> Server {
    Server::new(program)
        .listen(dir.listen("unix:", ""))
        .env("PREFORK_WORKERS", "2")
}

fn ask(path: &Path) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(path)?;
    send(&mut stream, "/")?;
    Ok(stream)
}

fn get(path: &Path) -> io::Result<String> {
    answer_of(ask(path)?)
}

fn assert_serves(path: &Path) {
    let body = get(path).expect("an answer");
    assert!(body.starts_with("hello from "), "{body}");
}

fn stop(mut server: RunningServer) {
    let status = server.stop();
    assert_eq!(status.code(), Some(0), "{:?}", server.final_log());
}

#[test]
fn async_and_blocking_servers_serve_a_path_and_remove_it_at_the_end() {
    for (program, workers) in [(HELLO, "2"), (PLAIN, "2"), (HELLO, "0"), (PLAIN, "0")] {
        let dir = SocketDir::new();
        let server = Server::new(program)
            .listen(dir.listen("unix:", "?mode=0600"))
            .env("PREFORK_WORKERS", workers)
            .start();
        assert_serves(&dir.path());
        let found = fs::metadata(dir.path()).expect("the socket is bound");
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
        stop(server);
        assert!(dir.is_empty(), "{program} with {workers} workers");
    }
}

#[test]
fn a_real_client_of_unix_sockets_is_served() {
    let dir = SocketDir::new();
    let _server = server(HELLO, &dir).start();
    let curl = Command::new("curl")
        .args(["-sS", "--unix-socket"])
        .arg(dir.path())
        .arg("http://localhost/peer")
        .output();
    match curl {
        Ok(curl) => assert_eq!(String::from_utf8_lossy(&curl.stdout), "hello unix:\n"),
        Err(_) => println!("skipped: needs curl(1)"),
    }
}

#[test]
fn an_abstract_name_is_served() {
    let name = format!("prefork-test-{}", std::process::id());
    let server = Server::new(HELLO).listen(format!("unix:@{name}")).start();
    let addr = SocketAddr::from_abstract_name(&name).expect("a short name");
    let mut stream = UnixStream::connect_addr(&addr).expect("it listens");
    send(&mut stream, "/").expect("a server");
    answer_of(stream).expect("an answer");
    stop(server);
    UnixStream::connect_addr(&addr).expect_err("the name is free");
}

#[test]
fn raw_listeners_of_unix_sockets_serve() {
    let dir = SocketDir::new();
    let server = server(RAW_UNIX, &dir).start();
    let shown = dir.listen("on_socket: listener0=unix:", ", not bound: true");
    server.wait_for_log(|line| line == shown);
    let stream = UnixStream::connect(dir.path()).expect("it listens");
    assert_eq!(io::read_to_string(stream).expect("an answer"), "raw\n");
    stop(server);
    assert!(dir.is_empty());
}

#[test]
fn a_unix_socket_has_tls() {
    let (dir, files) = (SocketDir::new(), SocketDir::new());
    let pair = Authority::new("a test").issue();
    let file = |name: &str, text: &str| {
        let path = files.0.path().join(name);
        fs::write(&path, text).expect("the test owns the folder");
        path
    };
    let server = Server::new(TLS)
        .listen(dir.listen("tls://unix:", ""))
        .env("PREFORK_TLS_CERT", file("cert.pem", &pair.cert))
        .env("PREFORK_TLS_KEY", file("key.pem", &pair.key))
        .start();
    let curl = Command::new("curl")
        .args(["-sSk", "--unix-socket"])
        .arg(dir.path())
        .arg("https://localhost/")
        .output();
    match curl {
        Ok(curl) => {
            let body = String::from_utf8_lossy(&curl.stdout);
            assert!(body.starts_with("hello from worker "), "{curl:?}");
        }
        Err(_) => println!("skipped: needs curl(1)"),
    }
    stop(server);
    assert!(dir.is_empty());
}

#[test]
fn datagrams_are_received() {
    let dir = SocketDir::new();
    let server = Server::new(UNIX_DATAGRAMS)
        .listen(dir.listen("unixgram:", "?mode=0622"))
        .start();
    let client = UnixDatagram::unbound().expect("descriptors");
    for text in ["one", "two"] {
        client
            .send_to(text.as_bytes(), dir.path())
            .expect("a server");
        server.wait_for_log(|line| line == format!("received {text}"));
    }
    stop(server);
    assert!(dir.is_empty());
}

#[test]
fn connections_that_wait_for_a_killed_worker_are_answered_in_20_kills_in_a_row() {
    let dir = SocketDir::new();
    let server = server(HELLO, &dir)
        .env("PREFORK_WORKERS", "1")
        .env("PREFORK_RECOVER_THRESHOLD", "1000")
        .start();
    for _ in 0..20 {
        let stopped = server.signal_child(0, Signal::SIGSTOP);
        eventually("the worker's halt", || {
            proc::is_stopped(stopped.pid).then_some(())
        });
        let waiting = (0..100).map(|_| ask(&dir.path()).expect("the queue has space"));
        let waiting: Vec<_> = waiting.collect();
        let killed = server.kill_child(0);
        server.wait_for_replacement(killed);
        for client in waiting {
            answer_of(client).expect("each waiting client gets an answer");
        }
    }
    stop(server);
}

#[test]
fn a_rollout_loses_no_connection() {
    let dir = SocketDir::new();
    let server = server(HELLO, &dir)
        .env("PREFORK_ROLLOUT_SOAK", "100ms")
        .start();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients = [(); 4].map(|()| {
            scope.spawn(|| {
                let mut count = 0;
                while !is_over.load(Ordering::Relaxed) {
                    get(&dir.path()).expect("an answer");
                    count += 1;
                }
                count
            })
        });
        server.signal(Signal::SIGHUP);
        let verdict = |line: &str| line.contains("rollout ") && line.contains("ed after");
        let line = server.wait_for_log(verdict);
        is_over.store(true, Ordering::Relaxed);
        assert!(line.contains("rollout accepted"), "{line}");
        let counts = clients.map(|client| client.join().expect("no error"));
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    });
    stop(server);
    assert!(dir.is_empty());
}

#[test]
fn the_next_start_replaces_the_file_of_a_master_that_was_killed() {
    let dir = SocketDir::new();
    let killed = server(HELLO, &dir).start();
    killed.signal(Signal::SIGKILL);
    // The workers of the killed master stop within a moment.
    let next = server(HELLO, &dir).start();
    assert_serves(&dir.path());
    stop(next);
    assert!(dir.is_empty());
}

#[test]
fn a_second_master_does_not_take_the_socket_of_a_running_one() {
    let dir = SocketDir::new();
    let first = server(HELLO, &dir).start();
    let second = server(HELLO, &dir).run();
    assert_eq!(second.code(), Some(69), "{:?}", second.log);
    let text = second.text();
    assert!(text.contains("a running server owns this socket"), "{text}");
    assert_serves(&dir.path());
    stop(first);
    assert!(dir.is_empty());
}

#[test]
fn of_masters_that_start_together_one_owns_the_path() {
    for _ in 0..4 {
        let dir = SocketDir::new();
        drop(UnixListener::bind(dir.path()).expect("a free path"));
        let masters = [(); 3].map(|()| server(HELLO, &dir).spawn());
        let serving = masters.map(|mut master| {
            let refused = |line: &str| line.contains("a running server owns");
            let line = master.wait_for_log(|line| refused(line) || line.contains("listening on"));
            if refused(&line) {
                assert_eq!(master.wait().code(), Some(69), "{line}");
                return None;
            }
            Some(master)
        });
        assert_serves(&dir.path());
        let owners: Vec<_> = serving.into_iter().flatten().collect();
        assert_eq!(owners.len(), 1);
        owners.into_iter().for_each(stop);
        assert!(dir.is_empty());
    }
}

fn assert_refused(output: &Output, status: i32, named: &str) {
    assert_eq!(output.code(), Some(status), "{:?}", output.log);
    let [line] = output.log.as_slice() else {
        panic!("not one line: {:?}", output.log);
    };
    assert!(line.contains(named), "no '{named}' in: {line}");
}

#[test]
fn a_bad_path_is_one_error_before_anything_is_bound() {
    let dir = SocketDir::new();
    let directory = dir.0.path().display().to_string();
    let refused = |path: &str, status, named: &str| {
        let good = format!("unix:{directory}/good.sock");
        let listen = format!("http={good},admin=unix:{path}");
        let server = Server::new(TWO_LISTENERS).listen(listen);
        assert_refused(&server.run(), status, named);
        assert!(!dir.0.path().join("good.sock").exists(), "{path}");
    };
    refused("relative", 78, "has the relative path 'relative'");
    refused(
        &format!("/{}", "n".repeat(108)),
        78,
        "unix sockets allow 107",
    );
    refused(
        &format!("{directory}/good.sock"),
        78,
        "are the same address",
    );
    refused(
        &format!("{directory}/a?owner=no-such-user"),
        78,
        "no user no-such-user",
    );
    refused(&format!("{directory}/none/a"), 69, "none does not exist");
    refused("/proc/app.sock", 69, "/proc");
    fs::write(dir.path(), "data").expect("a free path");
    refused(
        &dir.listen("", ""),
        69,
        "a regular file exists at this path",
    );
    assert_eq!(fs::read(dir.path()).expect("it stays"), b"data");
    fs::remove_file(dir.path()).expect("it exists");
    fs::create_dir(dir.path()).expect("a free path");
    refused(&dir.listen("", ""), 69, "a directory exists at this path");
}

/// Whether a program runs under this wrapper, and may execute the server.
fn works(wrapper: &[String]) -> bool {
    let mut attempt = Command::new(&wrapper[0]);
    attempt.args(&wrapper[1..]).args(["test", "-x", HELLO]);
    let status = attempt.stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// A command in whose mount namespace the directory is read-only.
fn read_only(directory: &Path) -> Option<Vec<String>> {
    let directory = directory.display();
    let script = format!(
        "mount --bind '{directory}' '{directory}' && mount -o remount,bind,ro '{directory}' && \
         exec \"$@\""
    );
    let as_root = vec!["unshare", "--mount"];
    let as_user = [as_root.clone(), vec!["--user", "--map-root-user"]].concat();
    let commands = [as_root, as_user].map(|unshare| {
        let command = [unshare.as_slice(), &["sh", "-c", &script, "sh"]].concat();
        command.into_iter().map(str::to_owned).collect()
    });
    commands.into_iter().find(|command: &Vec<_>| works(command))
}

#[test]
fn a_path_on_a_read_only_file_system_is_refused() {
    let dir = SocketDir::new();
    let Some(wrapper) = read_only(dir.0.path()) else {
        println!("skipped: needs unshare(1) and the permission to mount");
        return;
    };
    let output = server(HELLO, &dir).wrapper(wrapper).run();
    assert_refused(&output, 69, "is on a read-only file system");
    assert!(dir.is_empty());
}

/// Root may write to every directory, so the server runs as another user.
#[test]
fn a_path_without_permission_is_refused() {
    let dir = SocketDir::new();
    let wrapper = [
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
    ];
    let wrapper = wrapper.map(str::to_owned);
    if !works(&wrapper) {
        println!("skipped: needs setpriv(1), root, and a build that others may execute");
        return;
    }
    for (mode, named) in [
        (0o755, "is not writable for this process"),
        (0o700, "is not writable for this process"),
    ] {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(dir.0.path(), permissions).expect("the test owns the directory");
        let output = server(HELLO, &dir).wrapper(wrapper.clone()).run();
        assert_refused(&output, 69, named);
        assert!(dir.is_empty());
    }
    // A file needs root to get another owner.
    let permissions = fs::Permissions::from_mode(0o777);
    fs::set_permissions(dir.0.path(), permissions).expect("the test owns the directory");
    let output = server(HELLO, &dir)
        .listen(dir.listen("unix:", "?owner=0"))
        .wrapper(wrapper)
        .run();
    assert_refused(&output, 69, "cannot set the owner of");
    assert!(dir.is_empty());
}

#[test]
fn a_standby_replaces_a_killed_worker_of_a_unix_socket() {
    let dir = SocketDir::new();
    let server = Server::new(STANDBY).listen(dir.listen("unix:", "")).start();
    let is_ready = |line: &String| line.starts_with(READY);
    eventually("a worker and a standby", || {
        (server.log().iter().filter(|line| is_ready(line)).count() >= 2).then_some(())
    });
    let killed = server.kill_child(0);
    let body = get(&dir.path()).expect("an answer");
    let (slot, pid) = slot_and_pid(&body).expect("slot and pid");
    assert_eq!(slot, 0);
    assert_ne!(pid, killed.pid);
    server.wait_for_log(|line| line.contains(&format!("worker 0 (pid {pid}) promoted")));
    stop(server);
    assert!(dir.is_empty());
}

/// Ends the process when the test ends.
struct Nginx(Child);

impl Nginx {
    /// Starts nginx in the foreground, with all its files in a directory. It listens on `front`.
    fn start(files: &Path, front: &Path, back: &Path) -> Option<Self> {
        let (files, front, back) = (files.display(), front.display(), back.display());
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|name| format!("{name}_temp_path {files}/{name};"));
        let configuration = format!(
            "daemon off; master_process off; pid {files}/pid; error_log stderr; events {{}}
             http {{
                 access_log off; {}
                 server {{ listen unix:{front}; location / {{ proxy_pass http://unix:{back}; }} }}
             }}",
            temporary.concat()
        );
        let path = format!("{files}/nginx.conf");
        fs::write(&path, configuration).expect("the test owns the directory");
        let nginx = Command::new("nginx")
            .args(["-e", "stderr", "-c", &path])
            .spawn();
        nginx.ok().map(Self)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn nginx_in_front_loses_no_request_across_a_rollout() {
    let (dir, files) = (SocketDir::new(), SocketDir::new());
    let server = server(HELLO, &dir)
        .env("PREFORK_ROLLOUT_SOAK", "100ms")
        .start();
    let Some(_nginx) = Nginx::start(files.0.path(), &files.path(), &dir.path()) else {
        println!("skipped: needs nginx");
        return;
    };
    eventually("nginx listens", || UnixStream::connect(files.path()).ok());
    let answered = || assert_serves(&files.path());
    (0..50).for_each(|_| answered());
    server.signal(Signal::SIGHUP);
    let is_verdict = |line: &String| line.contains("rollout accepted after");
    while !server.log().iter().any(is_verdict) {
        answered();
    }
    (0..50).for_each(|_| answered());
    stop(server);
    let answer = get(&files.path()).expect_err("nginx answers 502");
    assert!(answer.to_string().contains("502"), "{answer}");
}

#[test]
fn an_argument_of_another_kind_is_an_error_before_a_bind() {
    let dir = SocketDir::new();
    let output = server(RAW_STD, &dir).run();
    assert_eq!(output.code(), Some(78), "{:?}", output.log);
    let named = "listener 'listener0' is a unix socket, but its argument is a TcpListener";
    assert!(output.text().contains(named), "{}", output.text());
    assert!(dir.is_empty());
}

#[test]
fn an_inherited_descriptor_is_served_and_stays_open() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = holder.local_addr().expect("bound");
    let inherited = holder.try_clone().expect("descriptors");
    let server = Server::new(HELLO)
        .stdin(inherited)
        .wrapper(["sh", "-c", "exec \"$@\" 5<&0 </dev/null", "sh"])
        .listen("fd:5")
        .start();
    assert_eq!(server.addr(), addr);
    prefork_tests::client::get(addr, "/").expect("an answer");
    stop(server);
    std::net::TcpStream::connect(addr).expect("the owner of the socket still listens");
    let output = Server::new(HELLO).listen("fd:5").run();
    assert_refused(&output, 69, "cannot use fd:5: not open");
}
