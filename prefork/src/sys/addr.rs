//! Converts addresses from and to those of the socket calls.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use prefork_options::Addr;
use socket2::SockAddr;

/// Returns the address for a socket call.
///
/// # Errors
/// The path or the name is too long (unix(7)), or the system has no abstract names.
pub(crate) fn to_sock_addr(addr: &Addr) -> io::Result<SockAddr> {
    match addr {
        Addr::Ip(addr) => Ok((*addr).into()),
        Addr::UnixPath(path) => SockAddr::unix(path),
        #[cfg(target_os = "linux")]
        Addr::UnixAbstract(name) => {
            let with_zero = [b"\0", name.as_slice()].concat();
            SockAddr::unix(OsStr::from_bytes(&with_zero))
        }
        // A later version of the enum, too.
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// From the address of a socket. `None` if it belongs to another family.
pub(crate) fn from_sock_addr(addr: &SockAddr) -> Option<Addr> {
    if let Some(addr) = addr.as_socket() {
        return Some(Addr::Ip(addr));
    }
    #[cfg(target_os = "linux")]
    if let Some(name) = addr.as_abstract_namespace() {
        return Some(Addr::UnixAbstract(name.to_owned()));
    }
    if let Some(path) = addr.as_pathname() {
        return Some(Addr::UnixPath(path.to_owned()));
    }
    addr.is_unix().then_some(Addr::UnixUnnamed)
}
