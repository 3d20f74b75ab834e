//! Visits every state of a small model, breadth first.
//!
//! Tests use it for policies: plain values that decide. It knows no policy. A model lists which
//! moves are possible in a state, and checks the promises. Two states are the same if their normal
//! forms are equal, so each state is visited once, however many sequences of moves lead to it. The
//! first broken promise is printed with the shortest sequence of moves that breaks it.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// A promise that a state or a move breaks.
pub(crate) type Broken = String;

/// What is explored.
pub(crate) trait Model {
    type State: Clone;
    type Move: Copy;

    fn start(&self) -> Self::State;

    /// Everything in a state that later moves or checks depend on, and nothing else.
    fn normal_form(&self, state: &Self::State) -> Vec<u8>;

    /// All moves that are possible in this state.
    fn moves(&self, state: &Self::State) -> Vec<Self::Move>;

    /// Makes a move, and checks the promises about it.
    fn apply(&mut self, state: &mut Self::State, next: Self::Move) -> Result<(), Broken>;

    /// Checks the promises about a state.
    fn check(&self, state: &Self::State) -> Result<(), Broken>;

    /// Writes a move as a line of a test.
    fn line(&self, next: Self::Move) -> String;
}

/// The size of an exploration that found every state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) transitions: usize,
    /// The number of moves to the farthest state.
    pub(crate) depth: u32,
    /// Whether the states after the farthest ones were left out.
    pub(crate) is_cut: bool,
    pub(crate) took: Duration,
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (states, transitions, depth) = (self.states, self.transitions, self.depth);
        let (seconds, memory) = (self.took.as_secs_f64(), peak_memory());
        let extent = if self.is_cut {
            "no deeper than"
        } else {
            "depth"
        };
        write!(
            f,
            "{states} states, {transitions} transitions, {extent} {depth}, {seconds:.1} s, {memory}"
        )
    }
}

/// The move that led to a state for the first time.
struct Step<M> {
    from: usize,
    next: M,
    depth: u32,
}

/// Visits every state that at most `deepest` moves lead to.
///
/// # Errors
/// The first broken promise, with the moves that lead to it.
pub(crate) fn explore<M: Model>(model: &mut M, deepest: u32) -> Result<Explored, String> {
    let began = Instant::now();
    let start = model.start();
    let mut known = HashSet::from([fingerprint(&model.normal_form(&start))]);
    // Index 0 is the start, which no move has led to.
    let mut steps: Vec<Step<M::Move>> = Vec::new();
    let mut to_visit = VecDeque::from([(0, start)]);
    let mut transitions = 0;
    let mut is_cut = false;
    while let Some((index, state)) = to_visit.pop_front() {
        attempt(|| model.check(&state)).map_err(|broken| report(model, &steps, index, &broken))?;
        if depth(&steps, index) >= deepest {
            is_cut = true;
            continue;
        }
        for next in model.moves(&state) {
            let mut state = state.clone();
            let step = Step {
                from: index,
                next,
                depth: depth(&steps, index) + 1,
            };
            if let Err(broken) = attempt(|| model.apply(&mut state, next)) {
                steps.push(step);
                return Err(report(model, &steps, steps.len(), &broken));
            }
            transitions += 1;
            let key = fingerprint(&model.normal_form(&state));
            if known.insert(key) {
                steps.push(step);
                to_visit.push_back((steps.len(), state));
            }
        }
    }
    Ok(Explored {
        states: known.len(),
        transitions,
        depth: depth(&steps, steps.len()),
        is_cut,
        took: began.elapsed(),
    })
}

/// Turns a panic of the code under test into a broken promise.
fn attempt(check: impl FnOnce() -> Result<(), Broken>) -> Result<(), Broken> {
    catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|_| Err("the code panicked".into()))
}

fn depth<M>(steps: &[Step<M>], index: usize) -> u32 {
    index.checked_sub(1).map_or(0, |last| steps[last].depth)
}

fn report<M: Model>(model: &M, steps: &[Step<M::Move>], index: usize, broken: &str) -> String {
    let mut lines = Vec::new();
    let mut at = index;
    while let Some(last) = at.checked_sub(1) {
        lines.push(model.line(steps[last].next));
        at = steps[last].from;
    }
    lines.reverse();
    format!("{broken}, after:\n{}", lines.join("\n"))
}

/// 128 bits of a hash, instead of the normal form: a model can have millions of states.
///
/// Two of ten million states share a fingerprint with a probability of about 10^-25.
fn fingerprint(form: &[u8]) -> (u64, u64) {
    let hash = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(seed);
        hasher.write(form);
        hasher.finish()
    };
    (hash(0), hash(1))
}

/// The largest amount of memory that this process has used.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    format!("{} at most", line.unwrap_or("unknown memory").trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two counters. No promise allows 3 and 2.
    struct Counters {
        promise: (u8, u8),
    }

    impl Model for Counters {
        type State = (u8, u8);
        type Move = bool;

        fn start(&self) -> (u8, u8) {
            (0, 0)
        }

        fn normal_form(&self, state: &(u8, u8)) -> Vec<u8> {
            vec![state.0, state.1]
        }

        fn moves(&self, state: &(u8, u8)) -> Vec<bool> {
            let is_possible = |&first: &bool| if first { state.0 < 4 } else { state.1 < 4 };
            [true, false].into_iter().filter(is_possible).collect()
        }

        fn apply(&mut self, state: &mut (u8, u8), first: bool) -> Result<(), Broken> {
            *(if first { &mut state.0 } else { &mut state.1 }) += 1;
            Ok(())
        }

        fn check(&self, state: &(u8, u8)) -> Result<(), Broken> {
            if *state == self.promise {
                return Err("never".into());
            }
            Ok(())
        }

        fn line(&self, first: bool) -> String {
            if first { "a" } else { "b" }.into()
        }
    }

    #[test]
    fn every_state_is_visited_once() {
        let mut counters = Counters { promise: (9, 9) };
        let explored = explore(&mut counters, 100).expect("no promise is broken");
        assert_eq!((explored.states, explored.transitions), (25, 40));
        assert_eq!(explored.depth, 8);
    }

    #[test]
    fn a_broken_promise_is_reported_with_the_shortest_sequence() {
        let mut counters = Counters { promise: (2, 1) };
        let report = explore(&mut counters, 100).expect_err("the promise is broken");
        assert_eq!(report, "never, after:\na\na\nb");
    }

    #[test]
    fn states_after_the_deepest_ones_are_left_out() {
        let mut counters = Counters { promise: (9, 9) };
        let explored = explore(&mut counters, 2).expect("no promise is broken");
        assert_eq!((explored.states, explored.is_cut), (6, true));
    }
}
