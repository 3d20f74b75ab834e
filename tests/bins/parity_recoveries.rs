//! A master that recovers as often as the first argument sets. The first children live until they
//! are killed. The children after them exit at once. The last ones live.

use std::env;
use std::process::ExitCode;

use prefork::Prefork;

const WORKERS: usize = 2;

fn main() -> ExitCode {
    let recoveries = env::args().nth(1).and_then(|text| text.parse().ok());
    let recoveries: usize = recoveries.unwrap_or(0);
    let (mut starts, mut recovered) = (0, 0);
    let prefork = Prefork::new()
        .handle_signals()
        .workers(WORKERS)
        .recover_threshold(1_000_000)
        // A child is healthy from its start, so the master replaces it at once.
        .healthy_after("0s")
        .child_producer(move |child| {
            starts += 1;
            if (WORKERS + 1..=recoveries).contains(&starts) {
                child.program("/bin/true");
            } else {
                child.program("/bin/sleep").arg("1000");
            }
        })
        .on_child_recover(move |_| {
            recovered += 1;
            if recovered == recoveries {
                println!("recovered all");
            }
        });
    prefork::report(prefork.run(|_| ()))
}
