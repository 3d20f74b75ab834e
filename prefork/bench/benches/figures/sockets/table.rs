//! The table of the comparison, as Markdown.

use super::cell::Cell;
use super::program::Program;
use super::scenario::{SECONDS, Scenario};
use super::selection::Selection;
use crate::machine;

/// One cell with its description.
pub(super) struct Line {
    pub(super) program: Program,
    pub(super) workers: usize,
    pub(super) reuseport: String,
    pub(super) scenario: Scenario,
    pub(super) cell: Cell,
}

/// Largest accepted delay of the client itself in calm cells, in seconds.
const MOST_LATE: f64 = 1e-3;

const COLUMNS: &str = "workers | reuseport | largest : smallest share | wake-ups | switches | CPU µs | p50 ms \
     | p99 ms | > 50 ms | lost | client late, p99 ms";

/// Prints one table for each program, ordered by scenario.
pub(super) fn print(selection: &Selection, lines: &[Line]) {
    println!("{}", machine::describe());
    println!(
        "{} rounds of {SECONDS} s for each line.\n",
        selection.rounds
    );
    for program in &selection.programs {
        println!("| {} | {COLUMNS} |", program.name());
        println!("|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
        for scenario in &selection.scenarios {
            let lines = lines.iter().filter(|line| line.program == *program);
            for line in lines.filter(|line| line.scenario == *scenario) {
                print_line(line);
            }
        }
        println!();
    }
    for line in lines.iter().filter(|line| line.is_late()) {
        println!(
            "The client was late: {}, {}, {} workers, reuseport = {}. \
             Repeat this on a quiet machine.",
            line.program.name(),
            line.scenario.name(),
            line.workers,
            line.reuseport
        );
    }
}

impl Line {
    /// Whether the client disturbed the measurement. In other scenarios, the server delays it.
    fn is_late(&self) -> bool {
        self.scenario == Scenario::Calm && self.cell.late() > MOST_LATE
    }
}

fn print_line(line: &Line) {
    let cell = &line.cell;
    let reuseport = match line.workers {
        1 => "any",
        _ => &line.reuseport,
    };
    let inequality = match cell.inequality() {
        None => String::new(),
        Some(inequality) if inequality.is_finite() => format!("{inequality:.1}"),
        Some(_) => "∞".to_owned(),
    };
    let wake_ups = match line.program {
        Program::Tokio => format!("{:.1}", cell.wake_ups()),
        Program::Blocking => String::new(),
    };
    println!(
        "| {} | {} | {reuseport} | {inequality} | {wake_ups} | {:.1} | {:.0} | {:.2} | {:.2} | {} | {} \
         | {:.2} |",
        line.scenario.name(),
        line.workers,
        cell.switches(),
        cell.cpu_time() * 1e6,
        cell.median() * 1e3,
        cell.percentile_99() * 1e3,
        cell.slow,
        cell.lost,
        cell.late() * 1e3,
    );
}
