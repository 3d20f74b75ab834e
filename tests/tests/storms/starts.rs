//! Starts that a signal interrupts at a random moment.

use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::{Duration, Instant};

use prefork_testkit::{Server, Signal, eventually, reserve_addr};

use crate::random::Random;
use crate::{ALLOWANCE, is_long, new_seed, requested_seed};

const HELLO: &str = env!("CARGO_BIN_EXE_hello");

const SIGNALS: [Signal; 4] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGKILL,
];

/// How many starts run at the same time.
const LANES: u64 = 3;

/// When the signal is sent.
#[derive(Debug, Clone, Copy)]
enum Moment {
    AfterExec(Duration),
    AfterStartLine(Duration),
}

/// The values that a seed determines.
#[derive(Debug)]
struct Plan {
    seed: u64,
    signal: Signal,
    moment: Moment,
    workers: u64,
    reuseport: bool,
}

impl Plan {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let signal = random.choose(&SIGNALS);
        let moment = match random.below(3) {
            0 => Moment::AfterStartLine(Duration::from_millis(random.below(1000))),
            // Most steps of a start are in the first milliseconds.
            1 => Moment::AfterExec(Duration::from_micros(random.below(20_000))),
            _ => Moment::AfterExec(Duration::from_micros(random.below(300_000))),
        };
        Self {
            seed,
            signal,
            moment,
            workers: 1 + random.below(3),
            reuseport: random.below(2) == 1,
        }
    }

    /// Runs one server until it exits; returns how long its stop took.
    fn run(&self, addr: &str) -> Duration {
        let mut server = Server::new(HELLO)
            .listen(format!("listener={addr}"))
            .env("PREFORK_WORKERS", self.workers.to_string())
            .env("PREFORK_REUSEPORT", self.reuseport.to_string())
            .env("PREFORK_SHUTDOWN_GRACE_PERIOD", "2s")
            .spawn();
        match self.moment {
            Moment::AfterExec(delay) => thread::sleep(delay),
            Moment::AfterStartLine(delay) => {
                server.wait_for_log(|line| line.contains("listening on"));
                thread::sleep(delay);
            }
        }
        let sent = Instant::now();
        server.signal(self.signal);
        let status = server.wait();
        let took = sent.elapsed();
        let log = server.log();
        let case = format!("{self:?}, replay with PREFORK_TESTS_SEED={}", self.seed);
        assert!(took < ALLOWANCE, "{case}: the stop took {took:?}: {log:#?}");
        // Before the master handles a signal, its default disposition ends the process.
        let is_documented = match status.signal() {
            None => status.code() == Some(0),
            Some(signal) => signal == self.signal as i32,
        };
        assert!(is_documented, "{case}: {status}: {log:#?}");
        if let (Moment::AfterStartLine(_), None) = (self.moment, status.code()) {
            let has_handler = self.signal != Signal::SIGKILL;
            assert!(!has_handler, "{case}: {status}: {log:#?}");
        }
        eventually(&format!("the end of all processes ({case})"), || {
            server.processes().is_empty().then_some(())
        });
        let log = server.final_log();
        let is_bad = |line: &&String| line.contains("panicked at") || line.contains("in use");
        assert_eq!(log.iter().find(is_bad), None, "{case}: {log:#?}");
        let next = TcpListener::bind(addr);
        assert!(next.is_ok(), "{case}: the port is taken: {next:?}");
        took
    }
}

fn run_lane(seeds: &[u64]) -> Duration {
    let reserved = reserve_addr();
    let addr = reserved.to_string();
    let times = seeds.iter().map(|&seed| Plan::new(seed).run(&addr));
    times.max().unwrap_or_default()
}

#[test]
fn a_signal_at_any_moment_of_a_start_leaves_nothing() {
    if let Some(seed) = requested_seed() {
        println!("starts: one, {:?}", Plan::new(seed));
        run_lane(&[seed]);
        return;
    }
    let count: u64 = if is_long() { 120 } else { 9 };
    let first = new_seed();
    let began = Instant::now();
    println!("starts: {count} from seed {first} on");
    let longest = thread::scope(|scope| {
        let lane = |lane| {
            let seeds = (lane..count).step_by(usize::try_from(LANES).expect("a small number"));
            let seeds: Vec<u64> = seeds.map(|index| first.wrapping_add(index)).collect();
            scope.spawn(move || run_lane(&seeds))
        };
        let lanes: Vec<_> = (0..LANES).map(lane).collect();
        let times = lanes.into_iter().map(|lane| {
            let result = lane.join();
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        times.max().unwrap_or_default()
    });
    let took = began.elapsed();
    println!("starts: {count} in {took:.1?}, the longest stop took {longest:.1?}");
}
