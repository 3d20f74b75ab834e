//! Visits every state of a master with its workers, each with its own policy, and of the channels
//! between them, also during a rollout.
//!
//! The world is a supervisor with one slot, the lifecycle of each worker, and the frames between
//! them in their order. The workers share one accept queue. A worker or the master can be killed
//! between any two moves. `world.rs` has what events and actions mean, `promises.rs` what holds in
//! each state.

mod process;
mod promises;
mod world;

use std::num::NonZeroUsize;
use std::time::Duration;

use promises::Program;
use world::World;

use super::explore;
use crate::explore::{Broken, Model};
use crate::supervisor::{Backoff, Parallel, Policy, RolloutPolicy, StopMode, Window};

/// Whole seconds, which the normal form of the supervisor requires.
const SECOND: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(2);

/// What is explored, and how far.
struct Pair {
    policy: Policy,
    /// The most connections that clients have at one time.
    connections: u8,
    /// How many rollouts may be requested.
    rollouts: u8,
    /// How often a worker may take back its readiness.
    flips: u8,
    start: Start,
    /// How many seconds may pass while a frame is unread or an action is due.
    pauses: u8,
    deepest: u32,
}

#[derive(Clone, Copy)]
enum Start {
    /// The master was just created.
    Cold,
    /// The first worker is ready. One connection is in the queue, one is accepted and unread, and
    /// of one a part was read.
    Busy,
    /// As `Busy`. A rollout was requested, and the master has started the successor.
    RollingOut,
    /// As `RollingOut`. The successor has served for its whole soak, and replaces the first worker
    /// now.
    Replacing,
}

/// A number is the position of a worker among those that the master has not reaped.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// The master performs the next action.
    MasterActs,
    /// The master reads the next frame of a worker.
    MasterReads(usize),
    /// The master reads the last frames of a worker, and reaps it.
    MasterReaps(usize),
    MasterDies,
    StopRequested(StopMode),
    RolloutRequested,
    /// One second passes.
    Pass,
    /// The monitor handles everything that has arrived: changes, frames, then signals.
    WorkerWakes(usize),
    /// The monitor performs the next action.
    WorkerActs(usize),
    WorkerDies(usize),
    /// Another process sends SIGTERM to the worker.
    WorkerSignaled(usize),
    /// For the first time, or again.
    BecomesReady(usize),
    TakesBack(usize),
    ClientConnects,
    Accepts(usize),
    /// A client that leaves is the same: its connection becomes readable.
    ClientSends(usize),
    /// The first read of a connection. From then on the drain does not wait for it.
    Reads(usize),
    /// The connection is answered, or its client leaves.
    Finishes(usize),
    ListenerEnds(usize),
    AcceptFails(usize),
    MainEnds(usize),
    /// The process exits after `main`.
    Exits(usize),
}

impl Model for Pair {
    type State = World;
    type Move = Move;

    fn start(&self) -> World {
        let mut world = World::new(&self.policy, self.rollouts, self.flips);
        match self.start {
            Start::Cold => {}
            Start::Busy => world.make_busy().expect("a worker starts"),
            Start::RollingOut => world.make_rolling_out().expect("workers start"),
            Start::Replacing => world.make_replacing().expect("workers start"),
        }
        world
    }

    fn normal_form(&self, world: &World) -> Vec<u8> {
        world.normal_form()
    }

    fn moves(&self, world: &World) -> Vec<Move> {
        if world.is_over() {
            return Vec::new();
        }
        let mut moves = Vec::new();
        let is_quiet = world.is_quiet();
        if is_quiet || world.paused < self.pauses {
            moves.push(Move::Pass);
        }
        if let Some(master) = &world.master {
            moves.extend([Move::MasterActs, Move::MasterDies]);
            if world.rollouts > 0 {
                moves.push(Move::RolloutRequested);
            }
            match master.snapshot().stop() {
                None => moves.push(Move::StopRequested(StopMode::Graceful)),
                Some(stop) if stop.is_immediate() => {}
                Some(_) => moves.push(Move::StopRequested(StopMode::Immediate)),
            }
        }
        if world.open_connections() < self.connections && world.may_connect() {
            moves.push(Move::ClientConnects);
        }
        for index in 0..world.workers.len() {
            moves.extend(world.moves_of(index));
        }
        moves
    }

    fn apply(&mut self, world: &mut World, next: Move) -> Result<(), Broken> {
        world.apply(next)
    }

    fn check(&self, world: &World) -> Result<(), Broken> {
        world.check_always()?;
        if world.is_quiet() {
            world.check_quiet()?;
        }
        if world.must_end() {
            world.check_end(Program::Hangs)?;
            world.check_end(Program::Lingers)?;
            if world.paused == 0 {
                world.check_end(Program::Serves)?;
            }
        }
        Ok(())
    }

    fn line(&self, next: Move) -> String {
        format!("{next:?}")
    }
}

fn policy(recover_threshold: u32) -> Policy {
    Policy {
        slots: NonZeroUsize::MIN,
        recover_threshold,
        recover_window: Window::Forever,
        recover_interval: Duration::ZERO,
        healthy_after: SECOND,
        ready_timeout: 2 * SECOND,
        drain_delay: Duration::ZERO,
        shutdown_grace_period: GRACE,
        exit_timeout: SECOND,
        kill_timeout: SECOND,
        rollout: RolloutPolicy {
            parallel: Parallel::Slots(NonZeroUsize::MIN),
            soak: SECOND,
            canary: SECOND,
            timeout: 4 * SECOND,
        },
        standbys: 0,
        standby_pause: Duration::ZERO,
        ring_width: 0,
        // The jitter would make the times of states differ.
        backoff: Backoff {
            first: Duration::ZERO,
            max: Duration::ZERO,
        },
        jitter_seed: 1,
    }
}

fn run(name: &str, mut pair: Pair) {
    let deepest = pair.deepest;
    match explore(&mut pair, deepest) {
        Ok(explored) => println!("master and worker, {name}: {explored}"),
        Err(report) => panic!("master and worker, {name}: {report}"),
    }
}

#[test]
fn every_promise_holds_in_every_state_of_a_master_and_its_workers() {
    let is_long = std::env::var_os("PREFORK_TESTS_EXPLORE").is_some();
    let run_with = |flips, name, threshold, connections, start, pauses, [short, long]: [u32; 2]| {
        let pair = Pair {
            policy: policy(threshold),
            connections,
            rollouts: match start {
                Start::Cold | Start::Busy => 0,
                // The first one is requested before the start.
                Start::RollingOut | Start::Replacing => 2,
            },
            flips,
            start,
            pauses,
            deepest: if is_long { long } else { short },
        };
        run(name, pair);
    };
    let run_scope = |name, threshold, connections, start, pauses, depths| {
        run_with(0, name, threshold, connections, start, pauses, depths);
    };
    let all = u32::MAX;
    let name = "threshold 0, 1 connection";
    run_scope(name, 0, 1, Start::Cold, 0, [9, all]);
    let name = "threshold 0, 3 connections";
    run_scope(name, 0, 3, Start::Busy, 0, [7, all]);
    let name = "threshold 1, 1 connection";
    run_scope(name, 1, 1, Start::Cold, 0, [8, 15]);
    let name = "threshold 0, 3 connections, pauses of 2 s";
    run_scope(name, 0, 3, Start::Busy, 2, [6, 11]);
    let name = "a rollout, threshold 0, 3 connections";
    run_scope(name, 0, 3, Start::RollingOut, 0, [5, 10]);
    let name = "a replacement, threshold 0, 3 connections";
    run_scope(name, 0, 3, Start::Replacing, 0, [5, 9]);
    let name = "a replacement, threshold 1, 1 connection, pauses of 2 s";
    run_scope(name, 1, 1, Start::Replacing, 2, [4, 9]);
    let name = "threshold 0, 1 connection, a worker that takes back its readiness";
    run_with(2, name, 0, 1, Start::Busy, 0, [7, 12]);
    let name = "a replacement, threshold 0, 1 connection, workers that take back their readiness";
    run_with(2, name, 0, 1, Start::Replacing, 0, [5, 9]);
}
