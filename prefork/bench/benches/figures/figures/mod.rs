//! The figures, one file for each group.

mod build;
mod events;
mod fleet;
mod growth;
mod idle;
mod master_death;
mod memory;
mod recovery;
mod requests;
mod rollout;
mod start;
mod stop;
mod system_calls;
mod tls;

use crate::figure::Row;

/// Measures the rows of one group.
type Figure = fn() -> Vec<Row>;

/// All groups in the order of the table, with their names on the command line.
pub(crate) const ALL: [(&str, Figure); 14] = [
    ("recovery", recovery::rows),
    ("start", start::rows),
    ("fleet", fleet::rows),
    ("growth", growth::rows),
    ("master-death", master_death::rows),
    ("idle", idle::rows),
    ("memory", memory::rows),
    ("requests", requests::rows),
    ("system-calls", system_calls::rows),
    ("tls", tls::rows),
    ("stop", stop::rows),
    ("rollout", rollout::rows),
    ("events", events::rows),
    ("build", build::rows),
];
