//! Tests of the TLS listener with clients of every kind, on real sockets.

mod clients;
mod drain;
mod limits;
mod serving;
mod stage;
