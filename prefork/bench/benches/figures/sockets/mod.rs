//! A comparison of the ways in which workers share listening sockets: `--sockets`.
//!
//! A *cell* is one scenario with one program, one number of workers and one value of `reuseport`.
//! The cells that differ only in `reuseport` are measured alternately, in several rounds each.

mod cell;
mod compare;
mod disturbance;
mod open_loop;
mod program;
mod scenario;
mod selection;
mod table;

pub(crate) use compare::compare;
