//! A crate with the name of tokio, for the compile error about two versions of tokio.

#![forbid(unsafe_code)]

/// As in tokio.
pub mod net {
    /// As in tokio.
    #[derive(Debug)]
    pub struct TcpListener;
}
