//! TLS on real processes: certificates from the master, handshakes in workers, one file per
//! promise.

mod clients;
mod handover;
mod pressure;
mod refusals;
mod renewal;
mod secure;
mod serves;
mod stop;
