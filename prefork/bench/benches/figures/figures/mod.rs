//! The figures, one file for each sort.

mod build;
mod events;
mod fleet;
mod growth;
mod idle;
mod master_death;
mod memory;
mod recovery;
mod requests;
mod start;
mod stop;
mod system_calls;
mod tls;

use crate::figure::Row;

/// Measures the rows of one sort.
type Figure = fn() -> Vec<Row>;

/// In the order of the table. A name is what the command line calls it.
pub(crate) const ALL: [(&str, Figure); 13] = [
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
    ("events", events::rows),
    ("build", build::rows),
];
