//! The variables of the environment that matter here, sorted by meaning.
//!
//! Plain data, created once from pairs of names and values. It does not know whether these are the
//! variables of the process or of a test, and it does not combine them with other sources.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use prefork_options::{Prefix, Row, TABLE, quote};

use super::unknown_vars::{UnknownVars, printable};
use super::var_kind::{EXPLAIN, VarKind, classify};
use crate::error::OptionError;

/// The variable of platforms for the number of workers. It has no prefix.
pub(super) const CONCURRENCY: &str = "WEB_CONCURRENCY";

/// The variable of platforms for the port.
pub(super) const PORT: &str = "PORT";

/// The variables that matter here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    prefix: Prefix,
    /// In the order of the table.
    options: Vec<(&'static Row, OsString)>,
    pub(super) concurrency: Option<OsString>,
    pub(super) port: Option<OsString>,
    /// Whether to print the configuration instead of starting.
    pub(crate) explains: bool,
    unknown_vars: UnknownVars,
    pub(super) errors: Vec<OptionError>,
}

impl Environment {
    /// Sorts the variables by meaning.
    ///
    /// A variable that is empty or contains only white space counts as unset.
    pub(crate) fn read(
        prefix: Prefix,
        pairs: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let default = Prefix::default();
        let is_relevant = |name: &str| {
            let prefixes = [&prefix, &default];
            let is_prefixed = prefixes.iter().any(|prefix| prefix.strip(name).is_some());
            is_prefixed || [CONCURRENCY, PORT].contains(&name)
        };
        let mut all = BTreeMap::new();
        for (name, value) in pairs {
            // Most variables belong to other programs.
            let name = name.to_string_lossy();
            if is_relevant(&name) {
                // If a name occurs twice, the first value counts, as with getenv(3).
                all.entry(name.into_owned()).or_insert(value);
            }
        }
        // Compose files and unit files pass an unset variable as an empty one.
        all.retain(|_, value| !is_blank(value));
        let mut this = Self {
            concurrency: all.remove(CONCURRENCY),
            port: all.remove(PORT),
            prefix,
            ..Self::default()
        };
        for (name, value) in all {
            this.classify(name, value);
        }
        this
    }

    /// The environment of a process with more privileges than the user who started it.
    ///
    /// No variable is used, as with `secure_getenv(3)`. Also returns a warning that lists the
    /// variables that would have had a meaning.
    pub(crate) fn untrusted(
        prefix: Prefix,
        pairs: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> (Self, Option<String>) {
        /// The largest number of names in the warning.
        const MAX_NAMES: usize = 8;
        let read = Self::read(prefix.clone(), pairs);
        let options = read
            .options
            .iter()
            .map(|(row, _)| prefix.variable(row.name));
        let invalid = read.errors.iter().map(|error| error.label.clone());
        let platform = [
            (CONCURRENCY, read.concurrency.is_some()),
            (PORT, read.port.is_some()),
        ];
        let platform = platform.into_iter().filter(|(_, is_set)| *is_set);
        let platform = platform.map(|(name, _)| name.to_owned());
        let explain = read.explains.then(|| read.explain_variable());
        let names: Vec<String> = options
            .chain(invalid)
            .chain(platform)
            .chain(explain)
            .take(MAX_NAMES)
            .collect();
        let warning = (!names.is_empty()).then(|| {
            format!(
                "ignoring {}: the environment is not trusted, because this program has more privileges \
                 than the user who started it (set-user-ID, set-group-ID or file capabilities)",
                names.join(", ")
            )
        });
        let trusted = Self {
            prefix,
            ..Self::default()
        };
        (trusted, warning)
    }

    /// Adds the text of an option. The options stay in the order of the table.
    fn add_option(&mut self, row: &'static Row, value: OsString) {
        let index = |row: &Row| TABLE.iter().position(|other| other.name == row.name);
        let at = self
            .options
            .partition_point(|(other, _)| index(other) <= index(row));
        self.options.insert(at, (row, value));
    }

    fn classify(&mut self, name: String, value: OsString) {
        let Some(rest) = self.prefix.strip(&name) else {
            let default = Prefix::default();
            let is_option = |rest| {
                matches!(
                    classify(&default, rest, ""),
                    VarKind::Option(_) | VarKind::Explain
                )
            };
            if default.strip(&name).is_some_and(is_option) {
                self.unknown_vars.wrong_prefix.push(name);
            }
            return;
        };
        match classify(&self.prefix, rest, &value.to_string_lossy()) {
            VarKind::Option(row) => self.add_option(row, value),
            VarKind::Explain => self.read_explain_flag(&name, &value),
            VarKind::Misspelled(near) => {
                let near = self.prefix.variable(near);
                self.reject(&name, format!("unknown option; did you mean {near}?"));
            }
            VarKind::CodeOnly(option) => {
                let reason = format!("`{option}` can only be set in code");
                self.reject(&name, reason);
            }
            // An error, because the operator expects this value to be used.
            VarKind::Alias(option) if self.prefix.is_default() => {
                let variable = self.prefix.variable(option);
                self.reject(&name, format!("unknown option; use {variable}"));
            }
            // No error: a program with its own prefix also has its own variables.
            VarKind::Alias(option) => {
                let variable = self.prefix.variable(option);
                let hint = format!("did you mean {variable}?");
                self.unknown_vars.unknown.push((name, Some(hint)));
            }
            VarKind::Unsupported(text) => {
                self.unknown_vars
                    .unknown
                    .push((name, Some(text.to_owned())));
            }
            VarKind::Unknown => self.unknown_vars.unknown.push((name, None)),
            VarKind::PlatformInjected => self.unknown_vars.injected.push(name),
            // Set by a master for its children.
            VarKind::Internal => {}
        }
    }

    fn read_explain_flag(&mut self, name: &str, value: &OsString) {
        match value.to_str() {
            Some("1" | "true") => self.explains = true,
            Some("0" | "false") => {}
            _ => {
                let shown = quote(&value.to_string_lossy());
                self.reject(
                    name,
                    format!("invalid {shown}: expected '1', 'true', '0' or 'false'"),
                );
            }
        }
    }

    fn reject(&mut self, name: &str, reason: String) {
        self.errors.push(OptionError {
            label: printable(name),
            reason,
        });
    }

    /// The name of the variable that asks for an explanation.
    pub(crate) fn explain_variable(&self) -> String {
        self.prefix.variable(EXPLAIN)
    }

    /// The ignored variables, a line each.
    pub(super) fn ignored(&self) -> impl Iterator<Item = String> {
        self.unknown_vars.lines(&self.prefix)
    }

    /// Each option that is set, with its variable and text. The text is an error if it is not UTF-8.
    pub(super) fn texts(
        &self,
    ) -> impl Iterator<Item = (&'static str, String, Result<&str, String>)> {
        self.options.iter().map(|(row, value)| {
            let text = value.to_str().ok_or_else(|| {
                if row.is_secret {
                    // The operator may have set the key itself instead of its path.
                    return "value is not valid UTF-8 (not shown: it may be a key)".to_owned();
                }
                not_utf8(value)
            });
            (row.name, self.prefix.variable(row.name), text)
        })
    }

    /// One warning about the ignored variables for the log of a start.
    pub(crate) fn warning(&self) -> Option<String> {
        self.unknown_vars.warning(&self.prefix)
    }
}

fn is_blank(value: &OsStr) -> bool {
    value.to_str().is_some_and(|text| text.trim().is_empty())
}

pub(super) fn not_utf8(value: &OsStr) -> String {
    format!("{} is not valid UTF-8", quote(&value.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use prefork_options::OptionValue;

    use super::*;
    use crate::config::OptionLayers;

    fn read(prefix: &str, pairs: &[(&str, &str)]) -> Environment {
        let prefix = Prefix::parse(prefix).expect(prefix);
        Environment::read(
            prefix,
            pairs
                .iter()
                .map(|(name, value)| (name.into(), value.into())),
        )
    }

    fn errors(pairs: &[(&str, &str)]) -> Vec<String> {
        let mut options = OptionLayers::default();
        options.apply_env(&read("PREFORK", pairs));
        options.errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_invalid_variables_are_reported_together_by_name() {
        let bad = errors(&[
            ("PREFORK_SHUTDOWN_GRACE_PERIOD", "5"),
            ("PREFORK_WORKERS", "-1"),
            ("PREFORK_WORKER", "2"),
            ("PREFORK_LISTEN", "127.0.0.1:no"),
            ("PREFORK_LOGGER", "x"),
            ("PREFORK_EXPLAIN", "yes"),
        ]);
        let labels: Vec<_> = bad
            .iter()
            .filter_map(|text| text.split(':').next())
            .collect();
        let expected = [
            "PREFORK_LISTEN",
            "PREFORK_WORKERS",
            "PREFORK_SHUTDOWN_GRACE_PERIOD",
            "PREFORK_EXPLAIN",
            "PREFORK_LOGGER",
            "PREFORK_WORKER",
        ];
        assert_eq!(labels, expected);
        assert!(bad[5].contains("did you mean PREFORK_WORKERS?"), "{bad:?}");
        assert_eq!(
            bad[3],
            "PREFORK_EXPLAIN: invalid 'yes': expected '1', 'true', '0' or 'false'"
        );
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let names: Vec<String> = TABLE
            .iter()
            .filter_map(|row| Some(row.env?.to_owned()))
            .chain(
                [
                    "PREFORK_EXPLAIN",
                    "PREFORK_WORKER",
                    "PREFORK_PROCESSES",
                    "PREFORK_LOGGER",
                    "PREFORK_COLOR",
                    "PREFORK_PORT",
                    CONCURRENCY,
                    PORT,
                ]
                .map(str::to_owned),
            )
            .collect();
        for (prefix, empty) in [
            ("PREFORK", ""),
            ("PREFORK", " "),
            ("PREFORK", "\t\n"),
            ("MYAPP", ""),
            ("MYAPP", " \u{a0}"),
        ] {
            let renamed = names.iter().map(|name| name.replace("PREFORK", prefix));
            let pairs: Vec<_> = renamed
                .chain(names.iter().cloned())
                .map(|name| (name, empty))
                .collect();
            let pairs: Vec<_> = pairs
                .iter()
                .map(|(name, value)| (name.as_str(), *value))
                .collect();
            let environment = read(prefix, &pairs);
            let mut options = OptionLayers::default();
            options.apply_env(&environment);
            assert!(options.errors.is_empty(), "{:?}", options.errors);
            assert!(environment.options.is_empty(), "{environment:?}");
            assert_eq!(
                (&environment.port, &environment.concurrency),
                (&None, &None)
            );
            assert!(!environment.explains);
            assert_eq!(environment.warning(), None);
            assert_eq!(environment.ignored().count(), 0);
        }
    }

    #[test]
    fn the_first_of_two_equal_names_counts_even_if_it_is_empty() {
        let environment = read(
            "PREFORK",
            &[("PREFORK_WORKERS", ""), ("PREFORK_WORKERS", "2")],
        );
        assert!(environment.options.is_empty(), "{environment:?}");
    }

    #[test]
    fn a_value_that_may_be_a_key_is_not_shown_if_it_is_not_utf8() {
        let key = OsString::from_vec(b"-----BEGIN PRIVATE KEY-----\nMC4C\n\xfc".to_vec());
        let pairs = [("PREFORK_TLS_KEY".into(), key)];
        let mut options = OptionLayers::default();
        options.apply_env(&Environment::read(Prefix::default(), pairs));
        let [error] = options.errors.as_slice() else {
            panic!("not one error: {:?}", options.errors);
        };
        assert_eq!(
            error.to_string(),
            "PREFORK_TLS_KEY: value is not valid UTF-8 (not shown: it may be a key)"
        );
        assert!(options.tls_key.is_set(), "it does not count as missing");
    }

    #[test]
    fn a_value_that_is_not_utf8_is_reported_under_its_variable() {
        let pair = (
            "PREFORK_WORKERS".into(),
            OsString::from_vec(vec![b'4', 0xff]),
        );
        let mut options = OptionLayers::default();
        options.apply_env(&Environment::read(Prefix::default(), [pair]));
        assert_eq!(
            options.errors[0].to_string(),
            "PREFORK_WORKERS: '4\u{fffd}' is not valid UTF-8"
        );
    }

    #[test]
    fn with_another_prefix_the_default_one_is_not_read() {
        let environment = read(
            "MYAPP",
            &[
                ("MYAPP_WORKERS", "3"),
                ("PREFORK_WORKERS", "4"),
                ("PREFORK_CHILD", "1:0:0:3"),
                ("PREFORK_COLOR", "red"),
                ("MYAPP_DATABASE", "here"),
            ],
        );
        let mut options = OptionLayers::default();
        options.apply_env(&environment);
        assert_eq!(options.workers.origin().to_string(), "MYAPP_WORKERS");
        let ignored: Vec<String> = environment.ignored().collect();
        assert_eq!(
            ignored,
            [
                "PREFORK_WORKERS: variables of this program begin with MYAPP_",
                "MYAPP_DATABASE: unknown variable"
            ]
        );
        assert_eq!(
            environment.warning().as_deref(),
            Some("ignoring PREFORK_WORKERS: variables of this program begin with MYAPP_")
        );
        assert_eq!(environment.explain_variable(), "MYAPP_EXPLAIN");
    }

    #[test]
    fn names_of_other_servers_are_rejected_if_an_option_has_their_meaning() {
        let pairs = [
            ("PREFORK_PROCESSES", "8"),
            ("PREFORK_ADDR", ":80"),
            ("PREFORK_MAX_REQUESTS", "1000"),
        ];
        let expected = [
            "PREFORK_ADDR: unknown option; use PREFORK_LISTEN",
            "PREFORK_PROCESSES: unknown option; use PREFORK_WORKERS",
        ];
        assert_eq!(errors(&pairs), expected);
        let warning = read("PREFORK", &pairs).warning();
        let warning = warning.expect("one of them is not an option");
        assert!(
            warning.starts_with("ignoring unknown variable PREFORK_MAX_REQUESTS (not supported: ")
                && warning.ends_with(')'),
            "{warning}"
        );
    }

    #[test]
    fn with_another_prefix_the_names_of_other_servers_belong_to_the_program() {
        let own = read("MYAPP", &[("MYAPP_PROCESSES", "8"), ("MYAPP_PORT", "80")]);
        let mut options = OptionLayers::default();
        options.apply_env(&own);
        assert!(options.errors.is_empty(), "{:?}", options.errors);
        assert_eq!(own.warning(), None);
        let explained: Vec<String> = own.ignored().collect();
        assert!(
            explained[0].starts_with("MYAPP_PORT: unknown variable; set host and port together")
        );
        let expected = "MYAPP_PROCESSES: unknown variable; did you mean MYAPP_WORKERS?";
        assert_eq!(explained[1], expected);
    }

    #[test]
    fn variables_of_an_untrusted_environment_are_listed_and_not_used() {
        let untrusted = |pairs: &[(&str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|(name, value)| (name.into(), value.into()));
            Environment::untrusted(Prefix::default(), pairs)
        };
        let (environment, warning) = untrusted(&[
            ("PREFORK_TLS_KEY", "/home/eve/key"),
            ("PREFORK_WORKER", "1"),
            ("PREFORK_EXPLAIN", "1"),
            ("PREFORK_CHILD", "1:0:1:3"),
            ("PORT", "80"),
            ("HOME", "/home/eve"),
        ]);
        let mut options = OptionLayers::default();
        options.apply_env(&environment);
        assert!(options.errors.is_empty() && !options.tls_key.is_set());
        assert!(!environment.explains && environment.port.is_none());
        let warning = warning.expect("options are set");
        let named = "ignoring PREFORK_TLS_KEY, PREFORK_WORKER, PORT, PREFORK_EXPLAIN: ";
        assert!(warning.starts_with(named), "{warning}");
        assert_eq!(untrusted(&[("HOME", "/home/eve")]).1, None);
    }

    #[test]
    fn variables_of_masters_and_platforms_are_not_reported() {
        let pairs = [("PREFORK_CHILD", "x"), ("PREFORK_SERVICE_HOST", "10.0.0.1")];
        assert_eq!(read("PREFORK", &pairs).warning(), None);
        assert_eq!(errors(&pairs), [""; 0]);
    }
}
