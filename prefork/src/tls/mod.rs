//! Certificates, private keys and session tickets of TLS.
//!
//! The master reads the certificate and the key, checks them, and passes them to each child together
//! with the state of the ticket keys. The child builds its TLS configuration from these. A child gets
//! one sealed memory file: so it needs no permission to read the key file, and never gets an old
//! certificate together with a new key.

mod check;
mod envelope;
mod handed;
mod keeper;
mod leaf;
mod material;
mod news;
mod parcel;
mod pem;
mod ratchet;
mod refusal;
mod server;
mod serving;
#[cfg(test)]
mod testing;
mod tickets;

pub(crate) use handed::Handed;
pub(crate) use keeper::Keeper;
pub(crate) use news::{News, Weight};
pub(crate) use parcel::Parcel;
