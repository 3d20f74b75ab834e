//! Instead of sealed memory files on systems without them. No master runs there.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Not supported on this system.
///
/// # Errors
/// Always.
pub(crate) fn sealed(_name: &str, _bytes: &[u8]) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not supported on this system.
///
/// # Errors
/// Always.
pub(crate) fn read(_fd: impl AsFd) -> io::Result<Vec<u8>> {
    Err(io::ErrorKind::Unsupported.into())
}
