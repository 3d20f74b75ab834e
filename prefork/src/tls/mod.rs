//! What workers speak TLS with.
//!
//! The master reads certificate and key, checks them, and hands them to each child with the keys of session tickets; the
//! child makes a configuration of that. All that a child gets is one sealed file, so that it needs no right to read the
//! key's, and never has a certificate from before an exchange with a key from after it.

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
