//! What a variable means whose name begins with our prefix.
//!
//! It knows names, and of values only how a platform's look; reading values is next door in `environment`.

use prefork_options::suggest::{self, Hint};
use prefork_options::{Kind, Prefix, Row, TABLE, alias};

/// The switch that is no option: it asks for an explanation instead of a start.
pub(super) const EXPLAIN: &str = "EXPLAIN";

/// Set by masters, or read by the attribute; known whatever the prefix is. Not among them is `TLS`, which masters set as
/// well: people do so who mean the option.
const ROLES: [&str; 3] = ["CHILD", "ADDRS", "MACRO_DEBUG"];

/// What a variable means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Option(&'static Row),
    Explain,
    /// Not an option, and not for the operator.
    Ours,
    /// What container platforms tell every program about its neighbours.
    Injected,
    /// Most likely a misspelling of this option.
    Near(&'static str),
    /// What another server calls so is this option here.
    Called(&'static str),
    /// What another server calls so is no option here: what to do instead.
    Instead(&'static str),
    /// An option that only the program can give.
    Code(&'static str),
    Unknown,
}

/// The meaning of `<prefix>_<rest>=<value>`.
pub(super) fn meaning(prefix: &Prefix, rest: &str, value: &str) -> Meaning {
    if rest == EXPLAIN {
        return Meaning::Explain;
    }
    if let Some(row) = options().find(|row| row.name.to_ascii_uppercase() == rest) {
        return Meaning::Option(row);
    }
    if prefix.is_default() && ROLES.contains(&rest) {
        return Meaning::Ours;
    }
    if is_injected(rest, value) {
        return Meaning::Injected;
    }
    let mut code = TABLE.iter().filter(|row| row.env.is_none());
    // Under a prefix of its own the program has variables of its own: `MYAPP_LOGGER`, `MYAPP_LISTENERS`.
    let is_ours = prefix.is_default();
    if let Some(row) = code.find(|row| is_ours && is_alike(row.name, rest)) {
        return Meaning::Code(row.name);
    }
    match suggest::hint(rest, names()) {
        Some(Hint::Written(name) | Hint::Near(name))
            if is_ours || suggest::is_one_step(rest, name) =>
        {
            Meaning::Near(name)
        }
        Some(Hint::Called(name)) => Meaning::Called(name),
        Some(Hint::Instead(text)) => Meaning::Instead(text),
        Some(Hint::Written(_) | Hint::Near(_)) | None => Meaning::Unknown,
    }
}

fn options() -> impl Iterator<Item = &'static Row> {
    TABLE
        .iter()
        .filter(|row| row.kind != Kind::Code && row.env.is_some())
}

/// All that an operator may mean.
fn names() -> impl Iterator<Item = &'static str> + Clone {
    TABLE
        .iter()
        .filter(|row| row.env.is_some())
        .map(|row| row.name)
        .chain([EXPLAIN])
}

/// Kubernetes and Docker links announce a service called `prefork` or `prefork-web` as `PREFORK_SERVICE_HOST`,
/// `PREFORK_WEB_PORT_80_TCP_ADDR` and the like, to all who run beside it. `PREFORK_REUSE_PORT` and `PREFORK_PORT` are of
/// these where their value is a URL, else an operator's.
fn is_injected(rest: &str, value: &str) -> bool {
    let rest_of_name = format!("_{rest}");
    let has_the_look = rest_of_name.contains("_SERVICE_") || rest_of_name.contains("_PORT");
    let is_operators = || names().any(|name| is_alike(name, rest)) || alias::find(rest).is_some();
    has_the_look && (value.contains("://") || !is_operators())
}

/// Whether two names differ in case and `_` alone.
fn is_alike(name: &str, other: &str) -> bool {
    let letters = |text: &str| text.replace('_', "").to_ascii_lowercase();
    letters(name) == letters(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rest: &str) -> Meaning {
        meaning(&Prefix::default(), rest, "1")
    }

    #[test]
    fn every_option_that_is_no_code_has_a_variable() {
        for row in TABLE {
            let name = row.name.to_ascii_uppercase();
            match row.env {
                Some(_) => assert_eq!(of(&name), Meaning::Option(row)),
                None => assert_eq!(of(&name), Meaning::Code(row.name)),
            }
        }
        assert_eq!(of("EXPLAIN"), Meaning::Explain);
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
            assert_eq!(of(rest), Meaning::Near(name), "{rest}");
        }
    }

    #[test]
    fn the_words_of_other_servers_are_recognized() {
        for (rest, name) in [
            ("PROCESSES", "workers"),
            ("NUM_WORKERS", "workers"),
            ("CHILDREN", "workers"),
            ("BIND", "listen"),
            ("GRACEFUL_TIMEOUT", "shutdown_grace_period"),
            ("SO_REUSEPORT", "reuseport"),
        ] {
            assert_eq!(of(rest), Meaning::Called(name), "{rest}");
        }
        for rest in ["PORT", "HOST", "TIMEOUT", "BACKLOG", "TLS"] {
            assert!(matches!(of(rest), Meaning::Instead(_)), "{rest}");
        }
        // What only a program can say under another name, an operator cannot mean.
        for rest in ["LOG", "PRODUCER", "RT"] {
            assert_eq!(of(rest), Meaning::Unknown, "{rest}");
        }
    }

    #[test]
    fn under_another_prefix_only_the_nearest_words_are_misspelled_options() {
        let other = prefork_options::prefix::parse("MYAPP").expect("it is good");
        for rest in ["LOGGER", "INIT", "WORKING", "CONFIGURE"] {
            assert_eq!(meaning(&other, rest, "1"), Meaning::Unknown, "{rest}");
        }
        // The words of other servers are told in an explanation.
        for (rest, name) in [
            ("LISTENER", "listen"),
            ("LISTENERS", "listen"),
            ("THREADS", "runtime_threads"),
        ] {
            assert_eq!(meaning(&other, rest, "1"), Meaning::Called(name), "{rest}");
        }
        for (rest, name) in [
            ("WORKER", "workers"),
            ("LISTN", "listen"),
            ("RECOVERWINDOW", "recover_window"),
            ("EXPLIAN", EXPLAIN),
        ] {
            assert_eq!(meaning(&other, rest, "1"), Meaning::Near(name), "{rest}");
        }
    }

    #[test]
    fn what_platforms_inject_is_let_be() {
        for rest in [
            "SERVICE_HOST",
            "SERVICE_PORT",
            "SERVICE_PORT_HTTP",
            "PORT_80_TCP",
            "WEB_PORT_8080_TCP_ADDR",
            "LISTEN_SERVICE_HOST",
            "WORKERS_PORT",
        ] {
            assert_eq!(of(rest), Meaning::Injected, "{rest}");
        }
        for rest in ["REUSE_PORT", "PORT"] {
            let url = meaning(&Prefix::default(), rest, "tcp://10.0.0.1:80");
            assert_eq!(url, Meaning::Injected, "{rest}");
        }
    }

    #[test]
    fn roles_belong_to_our_prefix_alone() {
        let other = prefork_options::prefix::parse("MYAPP").expect("it is good");
        for rest in ROLES {
            assert_eq!(of(rest), Meaning::Ours);
            assert_ne!(meaning(&other, rest, ""), Meaning::Ours);
        }
        assert_eq!(of("COLOUR"), Meaning::Unknown);
        assert_eq!(of(""), Meaning::Unknown);
    }
}
