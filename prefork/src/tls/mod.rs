//! Certificates, private keys and session tickets of TLS.
//!
//! The master reads the certificate and the key, checks them, and passes them to each child
//! together with the state of the ticket keys. The child builds its TLS configuration from these. A
//! child gets one sealed memory file: so it needs no permission to read the key file, and never
//! gets an old certificate together with a new key.

mod active;
mod bundle;
mod bundle_source;
mod check;
mod credentials;
mod error;
mod events;
mod leaf;
mod pem;
mod ratchet;
mod sealed_bundle;
mod server_config;
mod store;
#[cfg(test)]
mod testing;
mod tickets;

pub(crate) use bundle::TlsBundle;
pub(crate) use bundle_source::BundleSource;
pub(crate) use events::{TlsEvent, TlsEventLevel};
pub(crate) use store::CertificateStore;
