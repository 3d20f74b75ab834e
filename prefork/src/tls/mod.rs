//! What workers speak TLS with.
//!
//! The master reads certificate and key, checks them, and hands them to each child with the keys of session tickets; the
//! child makes a configuration of that. Everything a child gets fits one sealed file, so that a child needs no right to
//! read the key's file, and a file that is exchanged meanwhile meets either all of a child or nothing of it.

mod check;
mod keeper;
mod material;
mod parcel;
mod pem;
mod ratchet;
mod refusal;
mod server;
#[cfg(test)]
mod testing;
mod tickets;

pub(crate) use keeper::{Keeper, News};
pub(crate) use material::{Material, Sources};
pub(crate) use parcel::Parcel;
pub(crate) use ratchet::Ratchet;
pub(crate) use refusal::Refusal;
