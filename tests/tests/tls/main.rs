//! TLS on real processes: certificates from the master, handshakes in workers.
//!
//! Each promise has its own file.

mod clients;
mod handover;
mod pressure;
mod refusals;
mod renewal;
mod secure;
mod serves;
mod stop;
