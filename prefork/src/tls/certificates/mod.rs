//! Certificates, private keys and session tickets of TLS.
//!
//! The master reads the certificate and the key, checks them, and passes them to each worker
//! together with the state of the ticket keys. The worker builds its TLS configuration from these.
//! A worker gets one sealed memory file: so it needs no permission to read the key file, and never
//! gets an old certificate together with a new key.

mod bundle;
mod check;
mod credentials;
mod leaf;
mod pem;
mod pem_source;
mod ratchet;
mod server_config;
mod store;
#[cfg(test)]
mod testing;
mod tickets;
mod worker_tls;

pub(super) use store::CertificateStore;
pub(crate) use worker_tls::WorkerTls;
