//! One cell of the comparison: the figures of its rounds.

use std::collections::HashMap;

use nix::unistd::Pid;

use super::disturbance;
use super::open_loop::{self, Request, Response};
use super::scenario::Scenario;
use crate::figure::seconds;
use crate::proc;
use crate::samples::{median, percentile_99};
use crate::server::Server;

/// Connections that a comparison of shares needs. With fewer, shares differ by chance.
const ENOUGH: usize = 3000;

/// The figures of one round. Times are in seconds.
struct Round {
    wake_ups: f64,
    switches: f64,
    cpu_time: f64,
    median: f64,
    percentile_99: f64,
    late: f64,
}

/// The figures of one scenario on one server.
#[derive(Default)]
pub(super) struct Cell {
    rounds: Vec<Round>,
    /// Number of connections that each worker answered, in all rounds.
    shares: HashMap<Pid, usize>,
    /// Number of responses after more than 50 ms, in all rounds.
    pub(super) slow: usize,
    /// Number of connections without a response, in all rounds.
    pub(super) lost: usize,
}

impl Cell {
    /// Measures one round.
    pub(super) fn measure(&mut self, scenario: Scenario, server: &Server) {
        let workers = proc::children(server.master);
        for worker in &workers {
            self.shares.entry(*worker).or_default();
        }
        let arrivals = scenario.arrivals();
        let before = Usage::of(&workers);
        let requests = disturbance::during(scenario, server, self.rounds.len(), || {
            open_loop::send(server.addr, &arrivals)
        });
        let after = Usage::of(&workers);
        let now = proc::children(server.master);
        assert_eq!(now, workers, "a worker has exited");
        self.add(&requests, &before, &after);
    }

    fn add(&mut self, requests: &[Request], before: &Usage, after: &Usage) {
        let responses: Vec<_> = requests.iter().flat_map(|one| &one.response).collect();
        for response in &responses {
            *self.shares.entry(response.worker).or_default() += 1;
        }
        let times: Vec<f64> = responses.iter().map(|one| seconds(one.took)).collect();
        let late: Vec<f64> = requests.iter().map(|one| seconds(one.late)).collect();
        let count = times.len() as f64;
        self.slow += times.iter().filter(|time| **time > 0.05).count();
        self.lost += requests.len() - times.len();
        self.rounds.push(Round {
            wake_ups: wake_ups(&responses),
            switches: (after.switches - before.switches) as f64 / count,
            cpu_time: (after.cpu_time - before.cpu_time) / count,
            median: median(&times),
            percentile_99: percentile_99(&times),
            late: percentile_99(&late),
        });
    }

    /// Wake-ups of the runtimes of all workers for each connection. 0 without a runtime.
    pub(super) fn wake_ups(&self) -> f64 {
        self.median_of(|round| round.wake_ups)
    }

    /// Voluntary context switches of all workers for each connection.
    pub(super) fn switches(&self) -> f64 {
        self.median_of(|round| round.switches)
    }

    /// Processor time of all workers for each connection, in seconds.
    pub(super) fn cpu_time(&self) -> f64 {
        self.median_of(|round| round.cpu_time)
    }

    /// Time within which half of the responses ended, in seconds.
    pub(super) fn median(&self) -> f64 {
        self.median_of(|round| round.median)
    }

    /// Time within which 99 of 100 responses ended, in seconds.
    pub(super) fn percentile_99(&self) -> f64 {
        self.median_of(|round| round.percentile_99)
    }

    /// Delay with which the client itself began 99 of 100 requests, in seconds.
    pub(super) fn late(&self) -> f64 {
        self.median_of(|round| round.late)
    }

    /// The largest share of a worker, divided by the smallest one. It can be infinite.
    ///
    /// `None` if there were too few connections.
    pub(super) fn inequality(&self) -> Option<f64> {
        let most = *self.shares.values().max()? as f64;
        let least = *self.shares.values().min()? as f64;
        let is_enough = self.shares.values().sum::<usize>() >= ENOUGH;
        is_enough.then_some(most / least)
    }

    fn median_of(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        median(&self.rounds.iter().map(figure).collect::<Vec<_>>())
    }
}

/// How often the runtimes of all workers were woken for each connection.
///
/// Each response has the count of its worker, so each worker is counted from its first response to
/// its last one.
fn wake_ups(responses: &[&Response]) -> f64 {
    let mut ranges = HashMap::new();
    for response in responses {
        let count = response.wake_ups;
        let (least, most) = ranges.entry(response.worker).or_insert((count, count));
        (*least, *most) = ((*least).min(count), (*most).max(count));
    }
    let total: u64 = ranges.values().map(|(least, most)| most - least).sum();
    total as f64 / responses.len() as f64
}

/// What all workers have used since they started.
struct Usage {
    switches: u64,
    /// In seconds.
    cpu_time: f64,
}

impl Usage {
    fn of(workers: &[Pid]) -> Self {
        let workers = workers.iter().copied();
        Self {
            switches: workers.clone().map(proc::voluntary_switches).sum(),
            cpu_time: seconds(workers.map(proc::cpu_time).sum()),
        }
    }
}
