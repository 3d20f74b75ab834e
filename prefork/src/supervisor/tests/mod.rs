//! Policy in virtual time: each rule by name, the tables against the code, and random fleets.

#![expect(
    clippy::unchecked_time_subtraction,
    reason = "virtual time is ours; where a test is wrong about it, it should panic"
)]

mod book;
mod fleet;
mod properties;
mod rules;
mod stage;
mod table;
