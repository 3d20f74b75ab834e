//! The cells that the command line selects.

use super::program::Program;
use super::scenario::Scenario;

/// The selected cells: all combinations of these values.
pub(super) struct Selection {
    pub(super) programs: Vec<Program>,
    pub(super) workers: Vec<usize>,
    /// Values of `PREFORK_REUSEPORT`. The program checks them.
    pub(super) reuseport: Vec<String>,
    pub(super) scenarios: Vec<Scenario>,
    pub(super) rounds: usize,
}

impl Selection {
    pub(super) const USAGE: &str = "CELLS: tokio, blocking, calm, bursts, stopped, blocked, slow, \
         workers=NUMBER, reuseport=VALUE, rounds=NUMBER; several of one kind add up";

    /// Parses the arguments. A kind of value that no argument selects has its usual values.
    pub(super) fn parse(args: &[String]) -> Option<Self> {
        let mut selected = Self {
            programs: Vec::new(),
            workers: Vec::new(),
            reuseport: Vec::new(),
            scenarios: Vec::new(),
            rounds: 3,
        };
        for arg in args {
            match arg.split_once('=') {
                Some(("workers", count)) => {
                    let count = count.parse().ok().filter(|count| *count > 0);
                    selected.workers.push(count?);
                }
                Some(("reuseport", value)) => selected.reuseport.push(value.to_owned()),
                Some(("rounds", count)) => {
                    let count = count.parse().ok().filter(|count| *count > 0);
                    selected.rounds = count?;
                }
                Some(_) => return None,
                None => selected.add_name(arg)?,
            }
        }
        Some(selected.with_usual_values())
    }

    fn add_name(&mut self, name: &str) -> Option<()> {
        let program = Program::ALL.into_iter().find(|one| one.name() == name);
        let scenario = Scenario::ALL.into_iter().find(|one| one.name() == name);
        self.programs.extend(program);
        self.scenarios.extend(scenario);
        (program.is_some() || scenario.is_some()).then_some(())
    }

    fn with_usual_values(mut self) -> Self {
        if self.programs.is_empty() {
            self.programs = Program::ALL.to_vec();
        }
        if self.workers.is_empty() {
            self.workers = vec![1, 2, 8, 32];
        }
        if self.reuseport.is_empty() {
            self.reuseport = ["false", "1", "2"].map(str::to_owned).to_vec();
        }
        if self.scenarios.is_empty() {
            self.scenarios = Scenario::ALL.to_vec();
        }
        self
    }
}
