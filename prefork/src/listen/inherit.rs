//! Passing listeners to a worker: the variables that name its descriptors.
//!
//! The master sets the variables. The worker takes over the descriptors and checks each against
//! them.

use std::os::fd::{OwnedFd, RawFd};

use prefork_options::ParseError;

use super::open_socket::address_of;
use super::{BoundListener, ListenerInfo, SocketFile};
use crate::error::Error;
use crate::sys;
use crate::sys::fds::FIRST_FD;

/// The sockets as text, separated by commas, in the order of the descriptors. The sockets of one
/// listener have one name.
const ADDRS_VARIABLE: &str = "PREFORK_ADDRS";

/// The descriptor of the memory file with certificates and key, if there is one.
const TLS_VARIABLE: &str = "PREFORK_TLS";

/// All variables by which the master passes listeners to a worker.
///
/// They include those of `sd_listen_fds(3)`, which every program with socket activation reads.
pub(crate) const VARIABLES: [&str; 6] = [
    ADDRS_VARIABLE,
    TLS_VARIABLE,
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
];

/// Returns the variables of `sd_listen_fds_with_names(3)` and of the addresses.
///
/// The child itself writes `LISTEN_PID`: only it knows its pid before the exec.
pub(crate) fn listen_env(
    listeners: &[BoundListener],
    tls: Option<RawFd>,
) -> Vec<(&'static str, String)> {
    let infos = || listeners.iter().map(|bound| &bound.info);
    let names = infos().flat_map(|info| info.addresses().iter().map(|_| info.name()));
    let names: Vec<&str> = names.collect();
    let addrs: Vec<String> = infos().map(ToString::to_string).collect();
    let mut variables = vec![
        ("LISTEN_FDS", names.len().to_string()),
        ("LISTEN_FDNAMES", names.join(":")),
        (ADDRS_VARIABLE, addrs.join(",")),
    ];
    variables.extend(tls.map(|fd| (TLS_VARIABLE, fd.to_string())));
    variables
}

/// A listener that the master passed.
#[derive(Debug)]
pub(crate) struct InheritedListener {
    pub(crate) info: ListenerInfo,
    /// One socket for each address, in their order.
    pub(crate) fds: Vec<OwnedFd>,
    /// The files of unix sockets that this process bound itself.
    pub(crate) files: Vec<SocketFile>,
}

impl InheritedListener {
    /// A listener with one socket.
    pub(crate) fn new(info: ListenerInfo, fd: OwnedFd) -> Self {
        Self {
            info,
            fds: vec![fd],
            files: Vec::new(),
        }
    }
}

/// For a process that bound the sockets itself.
impl From<BoundListener> for InheritedListener {
    fn from(bound: BoundListener) -> Self {
        let info = bound.info.clone();
        let (fds, files) = bound.into_parts();
        Self { info, fds, files }
    }
}

/// Everything that the master passed, except the channel.
#[derive(Debug)]
pub(crate) struct InheritedFds {
    pub(crate) listeners: Vec<InheritedListener>,
    /// The memory file with certificates and key. Its content is not checked yet.
    pub(crate) tls: Option<OwnedFd>,
}

impl InheritedFds {
    /// The number of sockets, which have the first descriptors.
    pub(crate) fn sockets(&self) -> usize {
        self.listeners.iter().map(|one| one.fds.len()).sum()
    }
}

/// Takes over the descriptors that the variables announce.
///
/// # Errors
/// A variable is missing or invalid, or a descriptor is not the announced listener.
pub(crate) fn inherit(lookup: impl Fn(&str) -> Option<String>) -> Result<InheritedFds, Error> {
    let pid = read("LISTEN_PID", &lookup)?;
    if pid != std::process::id().to_string() {
        let reason = format!("expected {}, the pid of this process", std::process::id());
        return Err(invalid("LISTEN_PID", reason));
    }
    let count = read("LISTEN_FDS", &lookup)?;
    let addrs = read(ADDRS_VARIABLE, &lookup)?;
    let announced = parse_addrs(&addrs)?;
    if count != announced.len().to_string() {
        let reason = format!(
            "expected {}, the number of addresses in {ADDRS_VARIABLE}",
            announced.len()
        );
        return Err(invalid("LISTEN_FDS", reason));
    }
    let tls = lookup(TLS_VARIABLE).map(|number| adopt_tls(&number, announced.len()));
    let mut listeners: Vec<InheritedListener> = Vec::new();
    for (number, info) in (FIRST_FD..).zip(announced) {
        let fd = adopt(number, &info)?;
        match listeners.last_mut() {
            // The sockets of one listener follow each other.
            Some(last) if last.info.is_same_listener(&info) => {
                last.info.merge(info);
                last.fds.push(fd);
            }
            _ => listeners.push(InheritedListener::new(info, fd)),
        }
    }
    Ok(InheritedFds {
        listeners,
        tls: tls.transpose()?,
    })
}

/// The descriptor follows the channel, which follows the sockets.
fn adopt_tls(number: &str, sockets: usize) -> Result<OwnedFd, Error> {
    let refuse = |reason: &str| {
        invalid(
            TLS_VARIABLE,
            format!("'{}' is {reason}", number.escape_debug()),
        )
    };
    let expected = number.parse().ok().filter(|number: &RawFd| {
        usize::try_from(number.saturating_sub(FIRST_FD)) == Ok(sockets + 1)
    });
    let number = expected.ok_or_else(|| refuse("not the descriptor after the channel"))?;
    sys::fds::adopt(number).map_err(|_| refuse("not open"))
}

fn read(name: &'static str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, Error> {
    lookup(name).ok_or_else(|| invalid(name, "not set".to_owned()))
}

fn invalid(variable: &'static str, reason: String) -> Error {
    Error::InvalidChildEnv { variable, reason }
}

fn parse_addrs(text: &str) -> Result<Vec<ListenerInfo>, Error> {
    text.split(',')
        .filter(|text| !text.is_empty())
        .map(|text| {
            text.parse()
                .map_err(|error: ParseError| invalid(ADDRS_VARIABLE, error.to_string()))
        })
        .collect()
}

fn adopt(number: RawFd, info: &ListenerInfo) -> Result<OwnedFd, Error> {
    let refuse = |reason: String| Error::Inherited {
        listener: info.name.clone(),
        fd: number,
        reason,
    };
    let fd = sys::fds::adopt(number).map_err(|error| refuse(format!("not open: {error}")))?;
    let found = address_of(&fd, info.transport).map_err(refuse)?;
    if found != *info.address() {
        let reason = format!("listens on {found}, not on {}", info.address());
        return Err(refuse(reason));
    }
    Ok(fd)
}
