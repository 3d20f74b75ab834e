//! A name and a type, for what the compiler says about two versions of tokio.

#![forbid(unsafe_code)]

/// As in tokio.
pub mod net {
    /// As in tokio.
    #[derive(Debug)]
    pub struct TcpListener;
}
