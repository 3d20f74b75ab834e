//! Checks the arguments of the attribute.
//!
//! Each option must exist, be set once, and have a possible value. This file knows the table of
//! options, and the keys that only the attribute has. The check of a single value is in [`value`].

use prefork_options::suggest;
use prefork_options::{Network, OptionValue, Row, TABLE};
use syn::ext::IdentExt;
use syn::{Expr, Ident, Lit, Path};

use crate::args::KeyValue;
use crate::errors::Errors;
use crate::value::{self, bare, describe, known_addresses, known_text, literal};

/// Keys that control the expansion; the builder does not have them.
const EXPANSION: [&str; 2] = ["crate", "runtime"];

/// The arguments of the attribute.
#[derive(Default)]
pub(crate) struct Arguments {
    /// The options, in the order of the source.
    pub(crate) options: Vec<Setting>,
    /// The path of the crate, if it is not `::prefork`.
    pub(crate) krate: Option<Path>,
    /// The function that runs an `async fn`.
    pub(crate) runtime: Option<Path>,
}

/// One option with its value, with the tokens of the user.
pub(crate) struct Setting {
    pub(crate) name: Ident,
    pub(crate) value: Expr,
}

/// Sorts the arguments and reports all their errors.
pub(crate) fn check(pairs: Vec<KeyValue>, errors: &mut Errors) -> Arguments {
    let mut config = Arguments::default();
    let mut seen: Vec<Ident> = Vec::new();
    for KeyValue { key, value } in pairs {
        // `r#workers` is the same identifier as `workers`.
        let key = key.unraw();
        let name = key.to_string();
        if let Some(first) = seen.iter().find(|first| **first == key) {
            errors.at(&key, duplicate(&name, first));
            continue;
        }
        seen.push(key.clone());
        match name.as_str() {
            "crate" => config.krate = check_path(&key, value, "`::prefork`", errors),
            "runtime" => config.runtime = check_path(&key, value, "a function", errors),
            _ => config.options.extend(check_option(key, value, errors)),
        }
    }
    check_addresses(&config.options, errors);
    config
}

/// Compares the addresses with `network` and with each other, if they are literals.
///
/// No other options can conflict: all durations begin at different events, and the environment can
/// change the number of workers.
fn check_addresses(options: &[Setting], errors: &mut Errors) {
    let value = |name| {
        let mut settings = options.iter();
        settings
            .find(|setting| setting.name == name)
            .map(|setting| &setting.value)
    };
    let Some(listen) = value("listen") else {
        return;
    };
    // An invalid text was reported with its value; an expression is not known before the start.
    let unknown = [None, Some(Network::Tcp), Some(Network::Tcp6)];
    let parsed =
        value("network").map(|network| known_text(network).map(|text| Network::parse(&text)));
    let networks = match parsed {
        None => &[None],
        Some(Some(Ok(network))) => &[Some(network)][..],
        Some(Some(Err(_)) | None) => &unknown,
    };
    if let [Some(network)] = *networks {
        for (element, address) in known_addresses(listen) {
            if let Err(error) = address.check_network(network) {
                errors.at(element, error);
            }
        }
    }
    value::check_overlaps(listen, networks, errors);
}

fn duplicate(name: &str, first: &Ident) -> String {
    let start = first.span().start();
    format!(
        "`{name}` is set twice, first at {}:{}",
        start.line,
        // Editors count columns from 1.
        start.column + 1
    )
}

fn check_option(name: Ident, value: Option<Expr>, errors: &mut Errors) -> Option<Setting> {
    let Some(row) = Row::find(&name.to_string()) else {
        errors.at(&name, unknown(&name.to_string()));
        return None;
    };
    let Some(value) = value else {
        let text = format!("`{name}` needs a value, expected {}", row.expected);
        errors.at(&name, text);
        return None;
    };
    value::check(row, &value, errors);
    Some(Setting { name, value })
}

fn unknown(name: &str) -> String {
    let names = || TABLE.iter().map(|row| row.name).chain(EXPANSION);
    if let Some(hint) = suggest::hint(name, names()) {
        return format!("unknown option `{name}`; {hint}");
    }
    let all: Vec<_> = names().map(|name| format!("`{name}`")).collect();
    format!(
        "unknown option `{name}`; available options: {}",
        all.join(", ")
    )
}

/// Reads a path, plain or in a string, as other macros accept it.
fn check_path(key: &Ident, value: Option<Expr>, of: &str, errors: &mut Errors) -> Option<Path> {
    let Some(value) = value else {
        errors.at(
            key,
            format!("`{key}` needs a value, expected the path of {of}"),
        );
        return None;
    };
    let found = match (bare(&value), literal(&value)) {
        (Expr::Path(path), _) if path.qself.is_none() && path.attrs.is_empty() => {
            return Some(path.path.clone());
        }
        (_, Some(Lit::Str(text))) => match text.parse_with(Path::parse_mod_style) {
            Ok(path) => return Some(path),
            Err(_) => "a string that is not a path",
        },
        (other, _) => describe(other).unwrap_or("an expression"),
    };
    errors.at(value, format!("expected the path of {of}, found {found}"));
    None
}

#[cfg(test)]
mod tests {
    use quote::ToTokens;

    use super::*;
    use crate::args;

    fn read(text: &str) -> (Arguments, String) {
        let mut errors = Errors::default();
        let pairs = args::parse(text.parse().expect("balanced tokens"), &mut errors);
        (check(pairs, &mut errors), errors.into_tokens().to_string())
    }

    #[test]
    fn keys_are_sorted() {
        let (config, errors) =
            read("workers = 4, crate = ::other, runtime = smol::block_on, listen = \":80\"");

        assert_eq!(errors, "");
        let names: Vec<_> = config
            .options
            .iter()
            .map(|setting| setting.name.to_string())
            .collect();
        assert_eq!(names, ["workers", "listen"]);
        assert_eq!(config.krate.to_token_stream().to_string(), ":: other");
        assert_eq!(
            config.runtime.to_token_stream().to_string(),
            "smol :: block_on"
        );
    }

    #[test]
    fn a_path_may_be_a_string() {
        let (config, errors) = read("crate = \"crate::reexport\"");

        assert_eq!(errors, "");
        assert_eq!(
            config.krate.to_token_stream().to_string(),
            "crate :: reexport"
        );
    }

    #[test]
    fn each_mistake_is_reported() {
        for (text, message) in [
            (
                "workers",
                "`workers` needs a value, expected \\\"auto\\\", \\\"auto-1\\\", \\\"50%\\\" or a number from 0 to 10000",
            ),
            (
                "crate",
                "`crate` needs a value, expected the path of `::prefork`",
            ),
            (
                "runtime = \"a b\"",
                "expected the path of a function, found a string that is not a path",
            ),
            (
                "runtime = f()",
                "expected the path of a function, found an expression",
            ),
            (
                "crate = 4",
                "expected the path of `::prefork`, found a number",
            ),
            (
                "worker = 4",
                "\"unknown option `worker`; did you mean `workers`?\"",
            ),
            (
                "color = 4",
                "unknown option `color`; available options: `listen`, `network`",
            ),
            (
                "listen = [\":80\", \"[::1]:80\"], network = \"tcp4\"",
                "'[::1]:80' is not a tcp4 address",
            ),
            ("Workers = 4", "unknown option `Workers`; use `workers`"),
            ("processes = 4", "unknown option `processes`; use `workers`"),
            ("krate = x", "unknown option `krate`; use `crate`"),
            ("port = 80", "set host and port together in `listen`"),
            (
                "workers = 4, workers = 5",
                "`workers` is set twice, first at 1:1",
            ),
            (
                "workers = 4,\n  runtime = a, runtime = b",
                "`runtime` is set twice, first at 2:3",
            ),
            ("workers, workers = 4", "`workers` is set twice"),
            (
                "workers = 4, r#workers = 5",
                "`workers` is set twice, first at 1:1",
            ),
            (
                "listen = \":80,[::1]:80\", network = \"tcp4\"",
                "'[::1]:80' is not a tcp4 address",
            ),
            (
                "listen = \"[::1]:80\", r#network = \"tcp4\"",
                "'[::1]:80' is not a tcp4 address",
            ),
            (
                "listen = \":80,b=:80\"",
                "'listener0=:80' and 'b=:80' are the same address",
            ),
            (
                "listen = [\"a=:80\", more(), \"b=:80\"]",
                "'a=:80' and 'b=:80' are the same address",
            ),
            (
                "listen = [\"a=127.0.0.1:80\", \"b=:80\"]",
                "'b=:80' covers 'a=127.0.0.1:80', so only one of them can be bound",
            ),
            (
                "network = \"tcp6\", listen = [\"[::1]:80\", \":80\"]",
                "'listener1=:80' covers 'listener0=[::1]:80'",
            ),
            (
                "network = FAMILY, listen = [\"0.0.0.0:80\", \"127.0.0.1:80\"]",
                "'listener0=0.0.0.0:80' covers 'listener1=127.0.0.1:80'",
            ),
        ] {
            let (_, errors) = read(text);
            assert!(errors.contains(message), "{text}: {errors}");
        }
    }

    #[test]
    fn addresses_without_a_conflict_pass() {
        for text in [
            "listen = [\"0.0.0.0:80\", \"[::]:80\"]",
            "listen = [\":80\", \"127.0.0.1:80\"], network = \"tcp\"",
            "listen = [\":80\", \"127.0.0.1:80\"], network = FAMILY",
            "listen = [\"127.0.0.1:0\", \":0\"]",
            "listen = [\"[fe80::1%eth0]:80\", \"[fe80::1%eth1]:80\"]",
        ] {
            let (_, errors) = read(text);
            assert_eq!(errors, "", "{text}");
        }
    }

    #[test]
    fn all_mistakes_are_reported_in_one_pass() {
        let text = "worker = 4, listen, workers = true, workers = 4, crate = 1, 5, shutdown_grace_period = \"5\", \
                    recover_threshold = -1, listen = \"a\"";

        let (_, errors) = read(text);

        assert_eq!(errors.matches("compile_error").count(), 9, "{errors}");
    }
}
