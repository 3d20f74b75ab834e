//! The environment as it concerns us: which variables were there, what each of them means.
//!
//! It is plain data, made once from pairs of names and values; whether those are the process's or a test's it does not
//! know. What the values mean for the options is asked when all layers are settled.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use prefork_options::{Kind, Prefix, Row, TABLE, quote};

use super::Options;
use super::lookalike::Lookalikes;
use super::variable::{EXPLAIN, Meaning, meaning};
use crate::error::BadOption;

/// What platforms call the number of workers, whatever the prefix.
pub(super) const CONCURRENCY: &str = "WEB_CONCURRENCY";

/// What they call the port.
pub(super) const PORT: &str = "PORT";

/// The variables that concern us.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    prefix: Prefix,
    /// In the order of the table.
    options: Vec<(&'static Row, OsString)>,
    pub(super) concurrency: Option<OsString>,
    pub(super) port: Option<OsString>,
    /// Whether somebody asks for an explanation instead of a start.
    pub(crate) explains: bool,
    lookalikes: Lookalikes,
    mistakes: Vec<BadOption>,
}

impl Environment {
    /// Sorts the variables by what they mean. One that is empty, or holds white space alone, counts as unset.
    pub(crate) fn read(
        prefix: Prefix,
        pairs: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let ours = Prefix::default();
        let concerns_us = |name: &str| {
            let prefixes = [&prefix, &ours];
            let is_prefixed = prefixes.iter().any(|prefix| prefix.strip(name).is_some());
            is_prefixed || [CONCURRENCY, PORT].contains(&name)
        };
        let mut all = BTreeMap::new();
        for (name, value) in pairs {
            // Most variables are others': nothing is kept of these.
            let name = name.to_string_lossy();
            if concerns_us(&name) {
                // As getenv(3) does: of a doubled name the first.
                all.entry(name.into_owned()).or_insert(value);
            }
        }
        // Compose files and unit files write a variable that they do not set as an empty one.
        all.retain(|_, value| !is_blank(value));
        let mut this = Self {
            concurrency: all.remove(CONCURRENCY),
            port: all.remove(PORT),
            prefix,
            ..Self::default()
        };
        for (name, value) in all {
            this.sort(name, value);
        }
        let place = |row: &Row| TABLE.iter().position(|other| other.name == row.name);
        this.options.sort_by_key(|(row, _)| place(row));
        this
    }

    /// The environment of a process with rights that its starter lacks: nothing of it is read, as by `secure_getenv(3)`.
    ///
    /// Returns what a start reports about it, if a variable of ours is set.
    pub(crate) fn untrusted(
        prefix: Prefix,
        pairs: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> (Self, Option<String>) {
        /// So many names stand in the line.
        const MOST: usize = 8;
        let read = Self::read(prefix.clone(), pairs);
        let options = read
            .options
            .iter()
            .map(|(row, _)| prefix.variable(row.name));
        let mistakes = read.mistakes.iter().map(|mistake| mistake.place.clone());
        let platform = [
            (CONCURRENCY, read.concurrency.is_some()),
            (PORT, read.port.is_some()),
        ];
        let platform = platform.into_iter().filter(|(_, is_set)| *is_set);
        let platform = platform.map(|(name, _)| name.to_owned());
        let explain = read.explains.then(|| read.explain_variable());
        let names: Vec<String> = options
            .chain(mistakes)
            .chain(platform)
            .chain(explain)
            .take(MOST)
            .collect();
        let warning = (!names.is_empty()).then(|| {
            format!(
                "ignoring {}: this program has more rights than the user who started it (set-id or \
                 file capabilities), whose environment is not trusted",
                names.join(", ")
            )
        });
        let trusted = Self {
            prefix,
            ..Self::default()
        };
        (trusted, warning)
    }

    fn sort(&mut self, name: String, value: OsString) {
        let Some(rest) = self.prefix.strip(&name) else {
            let other = Prefix::default();
            let is_ours = |rest| {
                matches!(
                    meaning(&other, rest, ""),
                    Meaning::Option(_) | Meaning::Explain
                )
            };
            if other.strip(&name).is_some_and(is_ours) {
                self.lookalikes.not_read(name);
            }
            return;
        };
        match meaning(&self.prefix, rest, &value.to_string_lossy()) {
            Meaning::Option(row) => self.options.push((row, value)),
            Meaning::Explain => self.switch(&name, &value),
            Meaning::Near(near) => {
                let near = self.prefix.variable(near);
                self.refuse(
                    &name,
                    format!("there is no such option, did you mean {near}?"),
                );
            }
            Meaning::Code(option) => {
                let reason = format!("`{option}` is said by the program, not by the environment");
                self.refuse(&name, reason);
            }
            // Whoever says this means an option of ours, and would otherwise start with another value than was asked for.
            Meaning::Called(option) if self.prefix.is_default() => {
                let variable = self.prefix.variable(option);
                self.refuse(&name, format!("it is called {variable} here"));
            }
            // Under a prefix of its own a program has variables of its own.
            Meaning::Called(option) => {
                let variable = self.prefix.variable(option);
                self.lookalikes
                    .unknown(name, Some(format!("{variable} may be meant")));
            }
            Meaning::Instead(text) => self.lookalikes.unknown(name, Some(text.to_owned())),
            Meaning::Unknown => self.lookalikes.unknown(name, None),
            Meaning::Injected => self.lookalikes.injected(name),
            // Told by masters to children.
            Meaning::Ours => {}
        }
    }

    fn switch(&mut self, name: &str, value: &OsString) {
        match value.to_str() {
            Some("1" | "true") => self.explains = true,
            Some("0" | "false") => {}
            _ => {
                let shown = quote(&value.to_string_lossy());
                self.refuse(
                    name,
                    format!("{shown} is not one of '1', 'true', '0' and 'false'"),
                );
            }
        }
    }

    fn refuse(&mut self, name: &str, reason: String) {
        // The name comes from outside as well; quoted where it is not plain.
        let is_plain = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
        let is_plain = name.len() <= 64 && name.bytes().all(is_plain);
        let place = if is_plain {
            name.to_owned()
        } else {
            quote(name)
        };
        self.mistakes.push(BadOption { place, reason });
    }

    /// The variable by which an explanation is asked for.
    pub(crate) fn explain_variable(&self) -> String {
        self.prefix.variable(EXPLAIN)
    }

    /// What was said of names that are taken for options and are none, a line each.
    pub(super) fn ignored(&self) -> impl Iterator<Item = String> {
        self.lookalikes.explained(&self.prefix)
    }

    /// One line about these, where a start tells of them.
    pub(crate) fn warning(&self) -> Option<String> {
        self.lookalikes.warning(&self.prefix)
    }
}

impl Options {
    /// The operator's layer, above what the program says.
    pub(crate) fn overlay(&mut self, environment: &Environment) {
        for (row, value) in &environment.options {
            let variable = environment.prefix.variable(row.name);
            let text = value.to_str().ok_or_else(|| match row.kind {
                // It may be a key, put where its path belongs.
                Kind::Pem => "what it says, which is not shown, is not UTF-8".to_owned(),
                _ => not_text(value),
            });
            self.set_text(row.name, &variable, text);
        }
        self.mistakes.extend(environment.mistakes.iter().cloned());
    }
}

fn is_blank(value: &OsStr) -> bool {
    value.to_str().is_some_and(|text| text.trim().is_empty())
}

pub(super) fn not_text(value: &OsString) -> String {
    format!("{} is not UTF-8", quote(&value.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn read(prefix: &str, pairs: &[(&str, &str)]) -> Environment {
        let prefix = prefork_options::prefix::parse(prefix).expect(prefix);
        Environment::read(
            prefix,
            pairs
                .iter()
                .map(|(name, value)| (name.into(), value.into())),
        )
    }

    fn mistakes(pairs: &[(&str, &str)]) -> Vec<String> {
        let mut options = Options::default();
        options.overlay(&read("PREFORK", pairs));
        options.mistakes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_bad_variable_is_told_at_once_by_its_name() {
        let bad = mistakes(&[
            ("PREFORK_SHUTDOWN_GRACE_PERIOD", "5"),
            ("PREFORK_WORKERS", "-1"),
            ("PREFORK_WORKER", "2"),
            ("PREFORK_LISTEN", "127.0.0.1:no"),
            ("PREFORK_LOGGER", "x"),
            ("PREFORK_EXPLAIN", "yes"),
        ]);
        let places: Vec<_> = bad
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
        assert_eq!(places, expected);
        assert!(bad[5].contains("did you mean PREFORK_WORKERS?"), "{bad:?}");
        assert_eq!(
            bad[3],
            "PREFORK_EXPLAIN: 'yes' is not one of '1', 'true', '0' and 'false'"
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
                    "PREFORK_COLOUR",
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
            let mut options = Options::default();
            options.overlay(&environment);
            assert!(options.mistakes.is_empty(), "{:?}", options.mistakes);
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
    fn of_a_doubled_name_the_first_counts_also_where_it_is_empty() {
        let environment = read(
            "PREFORK",
            &[("PREFORK_WORKERS", ""), ("PREFORK_WORKERS", "2")],
        );
        assert!(environment.options.is_empty(), "{environment:?}");
    }

    #[test]
    fn a_key_in_the_place_of_its_path_is_not_shown_where_it_is_no_text() {
        let key = OsString::from_vec(b"-----BEGIN PRIVATE KEY-----\nMC4C\n\xfc".to_vec());
        let pairs = [("PREFORK_TLS_KEY".into(), key)];
        let mut options = Options::default();
        options.overlay(&Environment::read(Prefix::default(), pairs));
        let [mistake] = options.mistakes.as_slice() else {
            panic!("not one mistake: {:?}", options.mistakes);
        };
        assert_eq!(
            mistake.to_string(),
            "PREFORK_TLS_KEY: what it says, which is not shown, is not UTF-8"
        );
        assert!(options.tls_key.is_wanted(), "it is not missing as well");
    }

    #[test]
    fn a_value_that_is_no_text_is_told_by_its_name() {
        let pair = (
            "PREFORK_WORKERS".into(),
            OsString::from_vec(vec![b'4', 0xff]),
        );
        let mut options = Options::default();
        options.overlay(&Environment::read(Prefix::default(), [pair]));
        assert_eq!(
            options.mistakes[0].to_string(),
            "PREFORK_WORKERS: '4\u{fffd}' is not UTF-8"
        );
    }

    #[test]
    fn with_another_prefix_ours_is_not_read() {
        let environment = read(
            "MYAPP",
            &[
                ("MYAPP_WORKERS", "3"),
                ("PREFORK_WORKERS", "4"),
                ("PREFORK_CHILD", "1:0:0:3"),
                ("PREFORK_COLOUR", "red"),
                ("MYAPP_DATABASE", "here"),
            ],
        );
        let mut options = Options::default();
        options.overlay(&environment);
        assert_eq!(options.workers.origin().to_string(), "MYAPP_WORKERS");
        let ignored: Vec<String> = environment.ignored().collect();
        assert_eq!(
            ignored,
            [
                "PREFORK_WORKERS: the variables of this program begin with MYAPP_",
                "'MYAPP_DATABASE': no option"
            ]
        );
        assert_eq!(
            environment.warning().as_deref(),
            Some("PREFORK_WORKERS is not read: the variables of this program begin with MYAPP_")
        );
        assert_eq!(environment.explain_variable(), "MYAPP_EXPLAIN");
    }

    #[test]
    fn the_words_of_other_servers_are_refused_where_they_are_an_option() {
        let words = [
            ("PREFORK_PROCESSES", "8"),
            ("PREFORK_ADDR", ":80"),
            ("PREFORK_MAX_REQUESTS", "1000"),
        ];
        let expected = [
            "PREFORK_ADDR: it is called PREFORK_LISTEN here",
            "PREFORK_PROCESSES: it is called PREFORK_WORKERS here",
        ];
        assert_eq!(mistakes(&words), expected);
        let warning = read("PREFORK", &words).warning();
        let warning = warning.expect("one of them is no option");
        assert!(
            warning.starts_with("'PREFORK_MAX_REQUESTS' (there is no such thing: ")
                && warning.ends_with(") is no option of prefork and is ignored"),
            "{warning}"
        );
    }

    #[test]
    fn under_another_prefix_the_words_of_other_servers_are_the_programs_own() {
        let own = read("MYAPP", &[("MYAPP_PROCESSES", "8"), ("MYAPP_PORT", "80")]);
        let mut options = Options::default();
        options.overlay(&own);
        assert!(options.mistakes.is_empty(), "{:?}", options.mistakes);
        assert_eq!(own.warning(), None);
        let explained: Vec<String> = own.ignored().collect();
        assert!(explained[0].starts_with("'MYAPP_PORT': no option, host and port stand together"));
        let expected = "'MYAPP_PROCESSES': no option, MYAPP_WORKERS may be meant";
        assert_eq!(explained[1], expected);
    }
    #[test]
    fn an_untrusted_environment_is_named_and_not_read() {
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
        let mut options = Options::default();
        options.overlay(&environment);
        assert!(options.mistakes.is_empty() && !options.tls_key.is_wanted());
        assert!(!environment.explains && environment.port.is_none());
        let warning = warning.expect("variables of ours are set");
        let named = "ignoring PREFORK_TLS_KEY, PREFORK_WORKER, PORT, PREFORK_EXPLAIN: ";
        assert!(warning.starts_with(named), "{warning}");
        assert_eq!(untrusted(&[("HOME", "/home/eve")]).1, None);
    }

    #[test]
    fn what_masters_and_platforms_say_is_no_mistake_for_an_option() {
        let pairs = [("PREFORK_CHILD", "x"), ("PREFORK_SERVICE_HOST", "10.0.0.1")];
        assert_eq!(read("PREFORK", &pairs).warning(), None);
        assert_eq!(mistakes(&pairs), [""; 0]);
    }
}
