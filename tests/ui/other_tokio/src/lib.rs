//! A crate with the name of tokio, for the compile error about two versions of tokio.

#![forbid(unsafe_code)]

/// The same name as in tokio.
pub mod net {
    /// The same name as in tokio.
    #[derive(Debug)]
    pub struct TcpListener;
}
