//! Workers that are killed one after the other while clients connect.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use nix::sys::signal::kill;
use nix::unistd::Pid;
use prefork_testkit::{RunningServer, Server, Signal, eventually};
use prefork_tests::client::{answer, ask, get, slot_and_pid};
use prefork_tests::proc;
use socket2::SockRef;

use crate::is_long;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const SLOTS: usize = 4;
const CLIENTS: usize = 4;

/// The slots of each thread that kills. Two threads with this pause kill a worker every 20 ms.
const KILLERS: [&[usize]; 2] = [&[0, 2], &[1, 3]];
const PAUSE: Duration = Duration::from_millis(40);

/// How much the memory of a master may grow, in KiB.
const GROWTH: u64 = 8 * 1024;

/// How a worker is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KillMethod {
    /// At once.
    Plain,
    /// Halted first, so that its accepted connections are known. This takes longer.
    Halted,
}

/// One kill.
#[derive(Debug)]
struct Kill {
    at: Instant,
    /// The ports of the clients whose connections the worker had accepted, if that is known.
    clients: Option<BTreeSet<u16>>,
}

/// A request without an answer.
#[derive(Debug)]
struct Lost {
    port: u16,
    began: Instant,
    ended: Instant,
    error: String,
}

impl Kill {
    fn explains(&self, lost: &Lost) -> bool {
        match &self.clients {
            Some(clients) => clients.contains(&lost.port),
            None => lost.began <= self.at && self.at <= lost.ended,
        }
    }
}

/// The results of the requests.
#[derive(Debug, Default)]
struct Requests {
    answered: AtomicU64,
    /// The worker in each slot that answered last, unless it was killed since.
    serving: Mutex<BTreeMap<usize, i32>>,
    lost: Mutex<Vec<Lost>>,
    /// Errors of connect.
    refused: Mutex<Vec<String>>,
}

impl Requests {
    fn send(&self, addr: SocketAddr) {
        let began = Instant::now();
        let stream = match ask(addr, "/slow?ms=2") {
            Ok(stream) => stream,
            Err(error) => {
                return self
                    .refused
                    .lock()
                    .expect("no panic")
                    .push(error.to_string());
            }
        };
        let port = stream.local_addr().expect("the connection is open").port();
        // The close resets the connection. Otherwise thousands in TIME_WAIT would slow down each
        // read of the table of sockets.
        let linger = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        linger.expect("TCP has SO_LINGER");
        match answer(stream) {
            Ok(body) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                let mut serving = self.serving.lock().expect("no panic");
                serving.extend(slot_and_pid(&body));
            }
            Err(error) => {
                let mut lost = self.lost.lock().expect("no panic");
                lost.push(Lost {
                    port,
                    began,
                    ended: Instant::now(),
                    error: error.to_string(),
                });
            }
        }
    }
}

fn kill_worker(pid: i32, addr: SocketAddr, method: KillMethod) -> Kill {
    let clients = (method == KillMethod::Halted).then(|| halt(pid, addr));
    let at = Instant::now();
    // The call fails only if the worker has already exited.
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    Kill { at, clients }
}

/// Halts a worker; returns the clients of the connections that it has accepted.
fn halt(pid: i32, addr: SocketAddr) -> BTreeSet<u16> {
    if kill(Pid::from_raw(pid), Signal::SIGSTOP).is_err() {
        return BTreeSet::new();
    }
    eventually("a halted worker", || {
        (is_halted(pid) || !proc::is_alive(pid)).then_some(())
    });
    clients_of(pid, addr)
}

/// Whether each thread is halted. A thread that still runs may accept.
fn is_halted(pid: i32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    let mut threads = threads
        .flatten()
        .map(|thread| fs::read_to_string(thread.path().join("stat")).unwrap_or_default());
    threads.all(|stat| {
        let state = stat.rsplit(") ").next();
        state.is_none_or(|rest| rest.starts_with(['T', 'Z', 'X']) || rest.is_empty())
    })
}

fn clients_of(pid: i32, addr: SocketAddr) -> BTreeSet<u16> {
    let sockets: BTreeSet<String> = proc::sockets(pid).into_iter().collect();
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let port = |field: &str| u16::from_str_radix(field.rsplit(':').next()?, 16).ok();
    let own_port = format!("{:04X}", addr.port());
    // The table may contain thousands of sockets of other servers in TIME_WAIT, so only the lines
    // of this server are parsed.
    let is_own = |line: &&str| {
        let local = line.split_once(": ").and_then(|(_, rest)| rest.get(9..13));
        local == Some(own_port.as_str())
    };
    let read = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let inode = fields.get(9)?;
        let is_its = sockets.contains(&format!("socket:[{inode}]"));
        is_its.then(|| port(fields[2]))?
    };
    table.lines().filter(is_own).filter_map(read).collect()
}

fn wait_until_each_slot_serves(server: &RunningServer) {
    let mut slots = BTreeSet::new();
    eventually("an answer of each slot", || {
        let body = get(server.addr(), "/").ok()?;
        slots.insert(slot_and_pid(&body)?.0);
        (slots.len() == SLOTS).then_some(())
    });
}

/// Kills workers of these slots in turn, if they serve.
///
/// If a worker never served, the master would replace it only after a back-off.
fn kill_workers(
    slots: &[usize],
    addr: SocketAddr,
    duration: Duration,
    requests: &Requests,
    method: KillMethod,
) -> Vec<Kill> {
    let mut killed = BTreeSet::new();
    let mut kills = Vec::new();
    let began = Instant::now();
    for slot in slots.iter().cycle() {
        if began.elapsed() >= duration {
            break;
        }
        let due = Instant::now() + PAUSE;
        let serving = requests.serving.lock().expect("no panic").remove(slot);
        // A client may read the answer of a worker after the worker was killed.
        if let Some(pid) = serving.filter(|pid| killed.insert(*pid)) {
            kills.push(kill_worker(pid, addr, method));
            thread::sleep(due.saturating_duration_since(Instant::now()));
        } else {
            thread::sleep(Duration::from_millis(1));
        }
    }
    kills
}

fn storm(reuseport: &str, method: KillMethod) {
    let duration = if is_long() { 10_000 } else { 1_500 };
    let duration = Duration::from_millis(duration);
    let mut server = Server::new(HELLO)
        .env("PREFORK_WORKERS", SLOTS.to_string())
        .env("PREFORK_REUSEPORT", reuseport)
        .env("PREFORK_RECOVER_THRESHOLD", "1000000")
        .start();
    wait_until_each_slot_serves(&server);
    let master = server.master_pid();
    let fds = proc::fds(master).len();
    let memory = proc_memory(master);

    let requests = Requests::default();
    let stop = AtomicBool::new(false);
    let kills: Vec<Kill> = thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    requests.send(server.addr());
                }
            });
        }
        let kill = |slots| {
            let (addr, requests) = (server.addr(), &requests);
            scope.spawn(move || kill_workers(slots, addr, duration, requests, method))
        };
        let killers = KILLERS.map(kill);
        let kills = killers.map(|killer| killer.join().expect("no panic"));
        stop.store(true, Ordering::Relaxed);
        kills.into_iter().flatten().collect()
    });

    wait_until_each_slot_serves(&server);
    eventually("four workers, and no zombie", || {
        let is_whole = proc::zombies_of(master).is_empty() && server.processes().len() == SLOTS + 1;
        is_whole.then_some(())
    });
    eventually("the descriptors of the start", || {
        (proc::fds(master).len() == fds).then_some(())
    });
    let memory_after = proc_memory(master);
    let lost = requests.lost.into_inner().expect("no panic");
    let refused = requests.refused.into_inner().expect("no panic");
    let classes = lost.iter().fold(BTreeMap::new(), |mut classes, lost| {
        *classes.entry(lost.error.as_str()).or_insert(0) += 1;
        classes
    });
    println!(
        "kills ({method:?}, reuseport = {reuseport}): {} in {duration:?}, {:?} answered, {} lost in flight {classes:?}, master \
         {fds} descriptors, memory {memory} KiB before, {memory_after} KiB after",
        kills.len(),
        requests.answered,
        lost.len(),
    );
    assert!(!kills.is_empty());
    assert_eq!(refused, Vec::<String>::new());
    let others: Vec<_> = lost
        .iter()
        .filter(|lost| !kills.iter().any(|kill| kill.explains(lost)))
        .collect();
    assert!(
        others.is_empty(),
        "not in flight on a killed worker: {others:?}"
    );
    assert!(
        memory_after < memory + GROWTH,
        "{memory} KiB, then {memory_after} KiB"
    );
    assert!(server.stop().success(), "{:#?}", server.log());
    let log = server.final_log();
    assert!(
        !log.iter().any(|line| line.contains("panicked at")),
        "{log:#?}"
    );
}

fn proc_memory(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number
        .and_then(|number| number.parse().ok())
        .expect("a size in kB")
}

#[test]
fn fast_kills_lose_only_requests_in_flight() {
    storm("false", KillMethod::Plain);
}

#[test]
fn fast_kills_lose_only_requests_in_flight_with_a_socket_per_slot() {
    storm("true", KillMethod::Plain);
}

#[test]
fn a_killed_worker_loses_only_requests_that_it_had_accepted() {
    storm("false", KillMethod::Halted);
}

#[test]
fn a_killed_worker_loses_only_requests_that_it_had_accepted_with_a_socket_per_slot() {
    storm("true", KillMethod::Halted);
}
