//! What a master keeps about rollouts: the open programs, who waits for a verdict, and why
//! successors failed.
//!
//! It does not know when a rollout begins or ends; the supervisor does.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::RolloutVerdict;
use super::reload::ReloadReply;
use super::successor_stderr::SuccessorStderr;
use crate::spawn::Program;
use crate::supervisor::{ChildId, ProgramId};
use crate::sys::env::is_secure;

/// The state of the rollouts of one master.
#[derive(Debug)]
pub(super) struct RolloutState {
    /// The path that each rollout opens again.
    pub(super) path: PathBuf,
    /// The program that recovery starts.
    accepted: OpenProgram,
    /// The program of the rollout in progress.
    candidate: Option<OpenProgram>,
    /// A child was started from it. Otherwise `child_producer` names other programs.
    pub(super) is_program_used: bool,
    /// The highest id that was used.
    last_id: usize,
    waiting: Option<ReloadReply>,
    running: Option<ReloadReply>,
    /// Why successors of the rollout in progress failed.
    pub(super) failures: HashMap<ChildId, SuccessorFailure>,
    pub(super) stderr: SuccessorStderr,
    /// Why its program could not be opened.
    pub(super) open_error: Option<String>,
    /// The options that the accepted program sets; `None` if no worker has declared any.
    pub(super) declared: Option<Vec<String>>,
    /// Whether workers of a program wait until their gate is opened, as far as the master knows.
    gates: Vec<(ProgramId, bool)>,
    /// The service manager knows that a rollout is in progress.
    pub(super) is_announced: bool,
}

type OpenProgram = (ProgramId, Arc<Program>);

/// Why a successor failed.
#[derive(Debug, Clone)]
pub(super) struct SuccessorFailure {
    /// `None` if no process was started.
    pub(super) pid: Option<i32>,
    pub(super) cause: String,
    /// What the worker itself reported about its end.
    pub(super) last_words: Option<String>,
}

/// The program of a successor needs another master.
#[derive(Debug)]
pub(super) struct NeedsRestart;

impl RolloutState {
    pub(super) fn new(program: Program) -> Self {
        Self {
            path: program.reopen_path(),
            accepted: (ProgramId::OWN, Arc::new(program)),
            candidate: None,
            is_program_used: false,
            last_id: ProgramId::OWN.0,
            waiting: None,
            running: None,
            failures: HashMap::new(),
            stderr: SuccessorStderr::default(),
            open_error: None,
            declared: None,
            gates: Vec::new(),
            is_announced: false,
        }
    }

    /// A rollout was requested. An older request that waits gets its answer.
    pub(super) fn request(&mut self, reply: Option<ReloadReply>) {
        if let Some(older) = std::mem::replace(&mut self.waiting, reply) {
            older.send(RolloutVerdict::Superseded);
        }
    }

    /// The requested rollout begins.
    pub(super) fn begin(&mut self) {
        self.running = self.waiting.take();
        self.failures.clear();
        self.open_error = None;
    }

    /// A stop has begun: the rollout that waits does not begin.
    pub(super) fn stop(&mut self) {
        self.waiting = None;
    }

    /// Opens the program that the path names now.
    ///
    /// # Errors
    /// The reason why it cannot be executed.
    pub(super) fn open(&mut self) -> Result<ProgramId, String> {
        // That user may have chosen the path, for example by a symbolic link.
        if is_secure() {
            let reason = "this process has more privileges than the user who started it";
            return Err(format!("the path is not trusted: {reason}"));
        }
        Program::open(&self.path).map(|program| self.set_candidate(Arc::new(program)))
    }

    /// Uses the accepted program again, because no child runs it.
    pub(super) fn keep(&mut self) -> ProgramId {
        self.set_candidate(Arc::clone(&self.accepted.1))
    }

    fn set_candidate(&mut self, program: Arc<Program>) -> ProgramId {
        self.last_id += 1;
        let id = ProgramId(self.last_id);
        self.candidate = Some((id, program));
        id
    }

    pub(super) fn program(&self, id: ProgramId) -> &Program {
        match &self.candidate {
            Some((candidate, program)) if *candidate == id => program,
            Some(_) | None => &self.accepted.1,
        }
    }

    pub(super) fn is_accepted(&self, program: ProgramId) -> bool {
        self.accepted.0 == program
    }

    /// A worker of this program has declared whether it waits until its gate is opened.
    pub(super) fn note_gate(&mut self, program: ProgramId, has_gate: bool) {
        self.gates.retain(|&(known, _)| known != program);
        self.gates.push((program, has_gate));
    }

    /// Workers of this program wait until their gate is opened, if none declares something else.
    pub(super) fn assume_gate(&mut self, program: ProgramId) {
        if !self.gates.iter().any(|&(known, _)| known == program) {
            self.gates.push((program, true));
        }
    }

    pub(super) fn has_gate(&self, program: ProgramId) -> bool {
        self.gates.contains(&(program, true))
    }

    /// Returns the names of the options that differ from those of the accepted program.
    ///
    /// The master has the values of that program. An earlier version declares no options.
    pub(super) fn differing_options(&self, options: &[String]) -> Vec<String> {
        let Some(declared) = self.declared.as_ref().filter(|_| !options.is_empty()) else {
            return Vec::new();
        };
        let differ = declared.iter().filter(|option| !options.contains(option));
        let others = options.iter().filter(|option| !declared.contains(option));
        let name = |option: &String| option.split(':').next().unwrap_or_default().to_owned();
        let names: BTreeSet<String> = differ.chain(others).map(name).collect();
        names.into_iter().collect()
    }

    /// The rollout has ended. Closes the program that is not needed any more.
    pub(super) fn end(&mut self, verdict: &RolloutVerdict) {
        if let (RolloutVerdict::Accepted { .. }, Some(candidate)) = (verdict, self.candidate.take())
        {
            self.accepted = candidate;
        }
        self.gates
            .retain(|&(program, _)| program == self.accepted.0);
        self.stderr.forget_ended();
        if let Some(reply) = self.running.take() {
            reply.send(verdict.clone());
        }
    }

    /// The path of the accepted program, for messages.
    pub(super) fn accepted_path(&self) -> String {
        self.accepted.1.path()
    }

    pub(super) fn shown_path(&self) -> String {
        Path::display(&self.path).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::reload::Reload;
    use super::*;

    fn state() -> RolloutState {
        RolloutState::new(Program::current().expect("/proc"))
    }

    #[test]
    fn the_path_of_a_program_is_opened_again() {
        let mut state = state();
        let id = state.open().expect("the test runs from a file");
        assert!(!state.is_accepted(id) && state.is_accepted(ProgramId::OWN));
        let (replaced, took) = (1, std::time::Duration::ZERO);
        state.end(&RolloutVerdict::Accepted { replaced, took });
        assert!(state.is_accepted(id));
        state.path = "/no/such/program".into();
        let error = state.open().expect_err("no such file");
        assert!(
            error.starts_with("cannot open /no/such/program: "),
            "{error}"
        );
        state.path = "/".into();
        assert_eq!(
            state.open().err().as_deref(),
            Some("/ is not a regular file")
        );
        let next = state.keep();
        state.end(&RolloutVerdict::Stopped);
        assert!(state.is_accepted(id) && !state.is_accepted(next));
    }

    #[test]
    fn a_later_request_supersedes_one_that_waits() {
        let mut state = state();
        let [(first, one), (second, two), (third, three)] = [(); 3].map(|()| Reload::new());
        state.request(Some(first));
        state.begin();
        state.request(Some(second));
        state.request(Some(third));
        assert_eq!(two.wait(), RolloutVerdict::Superseded);
        state.stop();
        assert_eq!(three.wait(), RolloutVerdict::Stopped);
        state.end(&RolloutVerdict::Superseded);
        assert_eq!(one.wait(), RolloutVerdict::Superseded);
    }

    #[test]
    fn options_differ_by_name() {
        let mut state = state();
        let options = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let new: Vec<String> = options(&["listen:1", "reuseport:5", "workers:2"]);
        assert_eq!(
            state.differing_options(&new),
            [""; 0],
            "nothing was declared"
        );
        state.declared = Some(options(&["listen:1", "network:4", "workers:3"]));
        assert_eq!(
            state.differing_options(&new),
            ["network", "reuseport", "workers"]
        );
        assert_eq!(state.differing_options(&[]), [""; 0], "an earlier version");
    }
}
