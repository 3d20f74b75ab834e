//! Policy in virtual time: each rule by name, the tables against the code, and random fleets.

mod book;
mod fleet;
mod properties;
mod rules;
mod stage;
mod table;
