//! The variables that tell a child which descriptor is which listener.

use std::os::fd::RawFd;

use super::bind::Bound;

/// A [`Place`](super::Place) each, with commas between them, in the order of the descriptors.
pub(super) const ADDRS_VARIABLE: &str = "PREFORK_ADDRS";

/// The descriptor of the memory file with certificates and key, where the master has some.
pub(super) const TLS_VARIABLE: &str = "PREFORK_TLS";

/// What `sd_listen_fds_with_names(3)` expects, and the addresses. `LISTEN_PID` is written by the
/// child itself, which alone knows it in time.
pub(crate) fn announce(listeners: &[Bound], tls: Option<RawFd>) -> Vec<(&'static str, String)> {
    let join = |separator: &str, text: &dyn Fn(&Bound) -> String| {
        let texts: Vec<String> = listeners.iter().map(text).collect();
        texts.join(separator)
    };
    let mut variables = vec![
        ("LISTEN_FDS", listeners.len().to_string()),
        (
            "LISTEN_FDNAMES",
            join(":", &|bound| bound.place.name.clone()),
        ),
        (ADDRS_VARIABLE, join(",", &|bound| bound.place.to_string())),
    ];
    variables.extend(tls.map(|fd| (TLS_VARIABLE, fd.to_string())));
    variables
}
