//! The table of figures: `cargo bench -p prefork-bench`.
//!
//! ```text
//! # Measure all figures (a quarter of an hour on an idle machine):
//! cargo bench -p prefork-bench
//! # Measure the figures whose names contain one of these texts:
//! cargo bench -p prefork-bench -- start stop
//! # Fail if a ratio or a count misses its goal:
//! cargo bench -p prefork-bench -- --check
//! # Draw the plots and measure no figures:
//! cargo bench -p prefork-bench -- --plots ../../docs/plots
//! # Compare the ways in which workers share listening sockets, and measure no figures:
//! cargo bench -p prefork-bench -- --sockets
//! ```
//!
//! On a machine with other load, an absolute time has no meaning. Therefore most goals are ratios.
//! The bench measures prefork and a baseline in turn, and also measures the baseline against
//! itself: this is the spread. The bench reports a goal as missed if the ratio exceeds it by more than the
//! spread. `--check` checks ratios and counts. It does not check absolute times.

#![expect(clippy::cast_precision_loss, reason = "all counts are far below 2^53")]

mod client;
mod figure;
mod figures;
mod load;
mod machine;
mod plots;
mod proc;
mod samples;
mod server;
mod sockets;
mod steady;
mod tls_client;
mod tls_load;
mod tls_servers;

use std::path::PathBuf;
use std::process::ExitCode;

use figure::{Row, print_table};

struct Args {
    names: Vec<String>,
    check: bool,
    plots: Option<PathBuf>,
    sockets: bool,
}

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let Some(at) = args.iter().position(|arg| arg == "--bench") else {
        // `cargo test --all-targets` runs this program without `--bench`.
        eprintln!("skipped: needs `cargo bench -p prefork-bench`");
        return ExitCode::SUCCESS;
    };
    args.remove(at);
    let Some(args) = parse(args) else {
        eprintln!(
            "usage: cargo bench -p prefork-bench \
             [-- [--check] [NAME …] | --plots DIRECTORY | --sockets [CELLS …]]"
        );
        return ExitCode::from(2);
    };
    machine::prepare();
    if let Some(directory) = &args.plots {
        plots::draw(directory);
        return ExitCode::SUCCESS;
    }
    if args.sockets {
        return sockets::compare(&args.names);
    }
    let rows = measure(&args.names);
    print_table(&rows);
    if args.check && rows.iter().any(Row::is_missed) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn parse(args: Vec<String>) -> Option<Args> {
    let mut parsed = Args {
        names: Vec::new(),
        check: false,
        plots: None,
        sockets: false,
    };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--check" => parsed.check = true,
            "--plots" => parsed.plots = Some(args.next()?.into()),
            "--sockets" => parsed.sockets = true,
            name if name.starts_with('-') => return None,
            name => parsed.names.push(name.to_owned()),
        }
    }
    Some(parsed)
}

fn measure(names: &[String]) -> Vec<Row> {
    let is_wanted =
        |figure: &str| names.is_empty() || names.iter().any(|name| figure.contains(name.as_str()));
    let mut rows = Vec::new();
    for (name, figure) in figures::ALL {
        if is_wanted(name) {
            eprintln!("{name} …");
            rows.append(&mut figure());
        }
    }
    rows
}
