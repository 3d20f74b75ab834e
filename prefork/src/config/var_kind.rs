//! The meaning of a variable whose name begins with the prefix of this program.
//!
//! It knows names, and only how the values of a platform look. It does not read values of options.

use prefork_options::suggest::{self, Hint};
use prefork_options::{Prefix, Row, TABLE, foreign_names};

/// The variable that asks for an explanation instead of a start. It is not an option.
pub(super) const EXPLAIN: &str = "EXPLAIN";

/// Variables that are not options: a master sets or reads them, or the attribute reads them.
///
/// They keep the default prefix.
///
/// `TLS` is not in the list, although a master sets it too: an operator who sets it means an
/// option.
const INTERNAL: [&str; 4] = ["CHILD", "ADDRS", "MACRO_DEBUG", "NOTIFY_FD"];

/// The meaning of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VarKind {
    Option(&'static Row),
    Explain,
    /// Set by a master or for the attribute; not an option.
    Internal,
    /// Set by a container platform to describe other services.
    PlatformInjected,
    /// Probably a misspelling of this option.
    Misspelled(&'static str),
    /// A name that another server uses for this option.
    Alias(&'static str),
    /// A name of another server without an equivalent option; what to do instead.
    Unsupported(&'static str),
    /// An option that can only be set in code.
    CodeOnly(&'static str),
    Unknown,
}

/// The meaning of `<prefix>_<rest>=<value>`.
pub(super) fn classify(prefix: &Prefix, rest: &str, value: &str) -> VarKind {
    if rest == EXPLAIN {
        return VarKind::Explain;
    }
    if let Some(row) = options().find(|row| row.name.to_ascii_uppercase() == rest) {
        return VarKind::Option(row);
    }
    if prefix.is_default() && INTERNAL.contains(&rest) {
        return VarKind::Internal;
    }
    if is_injected(rest, value) {
        return VarKind::PlatformInjected;
    }
    let mut code = TABLE.iter().filter(|row| row.env.is_none());
    // A program with its own prefix may have its own variables, such as `MYAPP_LOGGER` or
    // `MYAPP_LISTENERS`.
    let is_default = prefix.is_default();
    if let Some(row) = code.find(|row| is_default && is_alike(row.name, rest)) {
        return VarKind::CodeOnly(row.name);
    }
    match suggest::hint(rest, names()) {
        Some(Hint::Respelled(name) | Hint::Similar(name))
            if is_default || suggest::is_one_step(rest, name) =>
        {
            VarKind::Misspelled(name)
        }
        Some(Hint::Alias(name)) => VarKind::Alias(name),
        Some(Hint::Explain(text)) => VarKind::Unsupported(text),
        Some(Hint::Respelled(_) | Hint::Similar(_)) | None => VarKind::Unknown,
    }
}

fn options() -> impl Iterator<Item = &'static Row> + Clone {
    TABLE.iter().filter(|row| row.env.is_some())
}

/// All names that an operator may have meant.
fn names() -> impl Iterator<Item = &'static str> + Clone {
    options().map(|row| row.name).chain([EXPLAIN])
}

/// Whether Kubernetes or a Docker link probably set the variable.
///
/// For a service called `prefork` or `prefork-web` they set variables such as
/// `PREFORK_SERVICE_HOST` and `PREFORK_WEB_PORT_80_TCP_ADDR` in other containers.
/// `PREFORK_REUSE_PORT` and `PREFORK_PORT` may also be mistakes of an operator; they count as
/// injected only if the value is a URL.
fn is_injected(rest: &str, value: &str) -> bool {
    let rest_of_name = format!("_{rest}");
    let looks_injected = rest_of_name.contains("_SERVICE_") || rest_of_name.contains("_PORT");
    let is_by_operator =
        || names().any(|name| is_alike(name, rest)) || foreign_names::find(rest).is_some();
    looks_injected && (value.contains("://") || !is_by_operator())
}

/// Whether two names differ only in case and `_`.
fn is_alike(name: &str, other: &str) -> bool {
    let letters = |text: &str| text.replace('_', "").to_ascii_lowercase();
    letters(name) == letters(other)
}

#[cfg(test)]
mod tests {
    use prefork_options::OptionValue;

    use super::*;

    fn of(rest: &str) -> VarKind {
        classify(&Prefix::default(), rest, "1")
    }

    #[test]
    fn every_option_that_is_not_a_function_has_a_variable() {
        for row in TABLE {
            let name = row.name.to_ascii_uppercase();
            match row.env {
                Some(_) => assert_eq!(of(&name), VarKind::Option(row)),
                None => assert_eq!(of(&name), VarKind::CodeOnly(row.name)),
            }
        }
        assert_eq!(of("EXPLAIN"), VarKind::Explain);
    }

    #[test]
    fn misspelled_options_are_recognized() {
        for (rest, name) in [
            ("WORKER", "workers"),
            ("LISTN", "listen"),
            ("RECOVERTHRESHOLD", "recover_threshold"),
            ("workers", "workers"),
            ("REUSE_PORT", "reuseport"),
            ("EXPLIAN", EXPLAIN),
        ] {
            assert_eq!(of(rest), VarKind::Misspelled(name), "{rest}");
        }
    }

    #[test]
    fn names_of_other_servers_are_recognized() {
        for (rest, name) in [
            ("PROCESSES", "workers"),
            ("NUM_WORKERS", "workers"),
            ("CHILDREN", "workers"),
            ("BIND", "listen"),
            ("GRACEFUL_TIMEOUT", "shutdown_grace_period"),
            ("SO_REUSEPORT", "reuseport"),
            ("TCP_NODELAY", "nodelay"),
        ] {
            assert_eq!(of(rest), VarKind::Alias(name), "{rest}");
        }
        for rest in ["PORT", "HOST", "TIMEOUT", "TLS"] {
            assert!(matches!(of(rest), VarKind::Unsupported(_)), "{rest}");
        }
        // Other names of options that can only be set in code.
        for rest in ["LOG", "PRODUCER", "RT"] {
            assert_eq!(of(rest), VarKind::Unknown, "{rest}");
        }
    }

    #[test]
    fn with_another_prefix_only_the_nearest_names_are_misspelled_options() {
        let other = Prefix::parse("MYAPP").expect("a valid prefix");
        for rest in ["LOGGER", "INIT", "WORKING", "CONFIGURE"] {
            assert_eq!(classify(&other, rest, "1"), VarKind::Unknown, "{rest}");
        }
        // Names of other servers are listed by `PREFORK_EXPLAIN`.
        for (rest, name) in [
            ("LISTENER", "listen"),
            ("LISTENERS", "listen"),
            ("THREADS", "runtime_threads"),
        ] {
            assert_eq!(classify(&other, rest, "1"), VarKind::Alias(name), "{rest}");
        }
        for (rest, name) in [
            ("WORKER", "workers"),
            ("LISTN", "listen"),
            ("RECOVERWINDOW", "recover_window"),
            ("EXPLIAN", EXPLAIN),
        ] {
            assert_eq!(
                classify(&other, rest, "1"),
                VarKind::Misspelled(name),
                "{rest}"
            );
        }
    }

    #[test]
    fn variables_that_platforms_inject_are_recognized() {
        for rest in [
            "SERVICE_HOST",
            "SERVICE_PORT",
            "SERVICE_PORT_HTTP",
            "PORT_80_TCP",
            "WEB_PORT_8080_TCP_ADDR",
            "LISTEN_SERVICE_HOST",
            "WORKERS_PORT",
        ] {
            assert_eq!(of(rest), VarKind::PlatformInjected, "{rest}");
        }
        for rest in ["REUSE_PORT", "PORT"] {
            let url = classify(&Prefix::default(), rest, "tcp://10.0.0.1:80");
            assert_eq!(url, VarKind::PlatformInjected, "{rest}");
        }
    }

    #[test]
    fn internal_variables_have_only_the_default_prefix() {
        let other = Prefix::parse("MYAPP").expect("a valid prefix");
        for rest in INTERNAL {
            assert_eq!(of(rest), VarKind::Internal);
            assert_ne!(classify(&other, rest, ""), VarKind::Internal);
        }
        assert_eq!(of("COLOR"), VarKind::Unknown);
        assert_eq!(of(""), VarKind::Unknown);
    }
}
