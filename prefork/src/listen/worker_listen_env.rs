//! The environment variables that tell a worker which descriptor is which listener.

use std::os::fd::RawFd;

use super::bind::BoundListener;

/// The listeners as text, separated by commas, in the order of the descriptors.
pub(super) const ADDRS_VARIABLE: &str = "PREFORK_ADDRS";

/// The descriptor of the memory file with certificates and key, if there is one.
pub(super) const TLS_VARIABLE: &str = "PREFORK_TLS";

/// Returns the variables of `sd_listen_fds_with_names(3)` and of the addresses.
///
/// The child itself writes `LISTEN_PID`: only it knows its pid before the exec.
pub(crate) fn listen_env(
    listeners: &[BoundListener],
    tls: Option<RawFd>,
) -> Vec<(&'static str, String)> {
    let join = |separator: &str, text: &dyn Fn(&BoundListener) -> String| {
        let texts: Vec<String> = listeners.iter().map(text).collect();
        texts.join(separator)
    };
    let mut variables = vec![
        ("LISTEN_FDS", listeners.len().to_string()),
        (
            "LISTEN_FDNAMES",
            join(":", &|bound| bound.info.name.clone()),
        ),
        (ADDRS_VARIABLE, join(",", &|bound| bound.info.to_string())),
    ];
    variables.extend(tls.map(|fd| (TLS_VARIABLE, fd.to_string())));
    variables
}
