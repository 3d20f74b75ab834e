//! What a TLS listener does with clients of every kind: real sockets, facts instead of sleeps.

mod clients;
mod drain;
mod limits;
mod serving;
mod stage;
