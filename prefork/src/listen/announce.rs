//! The variables that tell a child which descriptor is which listener.

use super::bind::Bound;

/// `name=address`, with commas between them, in the order of the descriptors.
pub(super) const ADDRS_VARIABLE: &str = "PREFORK_ADDRS";

/// What `sd_listen_fds_with_names(3)` expects, and the addresses. `LISTEN_PID` is written by the
/// child itself, which alone knows it in time.
pub(crate) fn announce(listeners: &[Bound]) -> Vec<(&'static str, String)> {
    let join = |separator: &str, text: &dyn Fn(&Bound) -> String| {
        let texts: Vec<String> = listeners.iter().map(text).collect();
        texts.join(separator)
    };
    vec![
        ("LISTEN_FDS", listeners.len().to_string()),
        ("LISTEN_FDNAMES", join(":", &|bound| bound.name.clone())),
        (
            ADDRS_VARIABLE,
            join(",", &|bound| format!("{}={}", bound.name, bound.addr)),
        ),
    ]
}
