//! Measures the selected cells and prints their table.

use std::process::ExitCode;

use super::cell::Cell;
use super::program::Program;
use super::scenario::Scenario;
use super::selection::Selection;
use super::table::{Line, print};
use crate::server::settle;

/// Measures the cells that the arguments select.
pub(crate) fn compare(args: &[String]) -> ExitCode {
    let Some(selection) = Selection::parse(args) else {
        eprintln!("{}", Selection::USAGE);
        return ExitCode::from(2);
    };
    if let Err(error) = check(&selection) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    let mut lines = Vec::new();
    for program in &selection.programs {
        for workers in &selection.workers {
            lines.append(&mut measure(*program, *workers, &selection));
        }
    }
    print(&selection, &lines);
    ExitCode::SUCCESS
}

/// Checks all values of `reuseport` before a long measurement.
fn check(selection: &Selection) -> Result<(), String> {
    for program in &selection.programs {
        for reuseport in &selection.reuseport {
            let name = program.name();
            program.check(reuseport).map_err(|error| {
                format!("the program '{name}' rejects PREFORK_REUSEPORT={reuseport}:\n{error}")
            })?;
        }
    }
    Ok(())
}

/// Measures all scenarios with one program and one number of workers.
fn measure(program: Program, workers: usize, selection: &Selection) -> Vec<Line> {
    // A single worker accepts from all sockets, so all values are equal.
    let values = match workers {
        1 => &selection.reuseport[..1],
        _ => &selection.reuseport,
    };
    let scenarios = selection.scenarios.iter().copied();
    let scenarios: Vec<_> = scenarios
        .filter(|scenario| scenario.is_possible_with(workers))
        .collect();
    if scenarios.is_empty() {
        return Vec::new();
    }
    eprintln!("{}, {workers} workers …", program.name());
    let servers: Vec<_> = values
        .iter()
        .map(|reuseport| program.start(workers, reuseport))
        .collect();
    settle();
    for server in &servers {
        // The first round of a server warms up and is not counted.
        Cell::default().measure(Scenario::Slow, server);
    }
    let mut lines = Vec::new();
    for scenario in scenarios {
        let mut cells: Vec<_> = servers.iter().map(|_| Cell::default()).collect();
        for round in 0..selection.rounds {
            for turn in 0..servers.len() {
                let index = (round + turn) % servers.len();
                cells[index].measure(scenario, &servers[index]);
            }
        }
        let cells = values.iter().zip(cells);
        lines.extend(cells.map(|(reuseport, cell)| Line {
            program,
            workers,
            reuseport: reuseport.clone(),
            scenario,
            cell,
        }));
    }
    lines
}
