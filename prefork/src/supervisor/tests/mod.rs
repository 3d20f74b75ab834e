//! Tests of the policy in virtual time: single rules, the tables, random fleets.

#![expect(
    clippy::unchecked_time_subtraction,
    reason = "tests control the virtual time; a wrong assumption about it must panic"
)]

mod children;
mod explore;
mod ring;
mod rules;
mod sockets;
mod stage;
mod standbys;
mod swarm;
mod table;
