//! TLS: certificates in the master, their use in a worker, and the listeners and streams.
//!
//! Everything about TLS is in this folder. The rest of the crate uses `seam` and
//! `certificate_source`, which also exist without feature `tls`. Only this folder and `lib.rs`
//! mention the feature.

#[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "no event exists"))]
mod certificate_source;
#[cfg(feature = "tls")]
mod certificates;
#[cfg(feature = "tls")]
mod net;
#[cfg_attr(
    not(feature = "tls"),
    expect(
        clippy::unnecessary_wraps,
        clippy::unused_self,
        reason = "with the feature, these can fail and use it"
    )
)]
mod seam;
#[cfg(feature = "tls")]
mod worker;

pub(crate) use certificate_source::{CertificateSource, TlsEvent, TlsEventLevel};
pub(crate) use seam::{HAS_TLS, LISTENER_HELP, WorkerTls, certificate_source, local_tls};

/// The listeners and streams that users see in `prefork::net`.
pub(crate) mod net_types {
    #[cfg(feature = "tls")]
    pub use super::net::{TlsListener, TlsStream};
}
