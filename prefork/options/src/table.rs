//! The one table of options.
//!
//! A new option is a row here; from it follow the attribute's key, the builder's setter and the environment variable.
//! The table knows names, kinds and words for people; it does not know types or values of the runtime.

use crate::{ParseError, count, duration, list, workers};

/// Hands the rows of the table to a macro.
///
/// `options! { callback first second }` becomes `callback! { first second rows… }`, where the tokens after the name are
/// optional and each row reads
///
/// ```text
/// #[doc = " One line of the setter's documentation."]
/// #[doc = " Another one."]
/// name: kind { default: "text for people", unit: "text", since: "0.1.0" }
/// ```
///
/// `unit` may be missing. The kinds are those of [`Kind`], in lower case.
///
/// # Examples
///
/// ```
/// macro_rules! names {
///     ($( $(#[doc = $doc:expr])* $name:ident : $kind:ident {
///         default: $default:literal, $(unit: $unit:literal,)? since: $since:literal
///     } )*) => { [$(stringify!($name)),*] };
/// }
/// assert!(prefork_options::options! { names }.contains(&"workers"));
/// ```
#[macro_export]
macro_rules! options {
    ($then:ident $($first:tt)*) => {
        $then! {
            $($first)*

            /// The addresses to listen on, each bound once by the master before the first child starts.
            ///
            /// An address is `host:port`; the host may be an IPv4 address, an IPv6 address in brackets, a host name, or
            /// missing for all IPv4 interfaces; port 0 lets the system choose. With `name=` in front (`a` to `z`, `0` to
            /// `9`, `_`) the arguments of `main` can tell listeners apart; an unnamed one is called `listener0`,
            /// `listener1`, … by its place.
            listen: addresses { default: "no listener", since: "0.1.0" }

            /// How many workers serve at the same time.
            ///
            /// `"auto"` is one for every CPU that this process may use. 0 is single mode: one process without a master,
            /// for debuggers and profilers.
            workers: workers { default: "\"auto\"", unit: "workers", since: "0.1.0" }

            /// How many exits that nobody asked for are answered with a new worker, counted over a window of 60 s.
            ///
            /// One more within the window ends the master, and with it the rest of the workers. With 0 the first such
            /// exit does.
            recover_threshold: count {
                default: "the larger of 8 and the number of workers", unit: "exits", since: "0.1.0"
            }

            /// How long a worker that was asked to stop may take to finish its requests, before it is killed.
            ///
            /// The whole stop keeps within this one budget. With `"0s"` workers are killed at once.
            shutdown_grace_period: duration { default: "\"5s\"", since: "0.1.0" }
        }
    };
}

/// What sort of value an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One or more addresses, see [`address`](crate::address).
    Addresses,
    /// A number of workers, see [`workers`](crate::workers).
    Workers,
    /// A number of events, see [`count`](crate::count).
    Count,
    /// A span of time, see [`duration`](crate::duration).
    Duration,
}

impl Kind {
    /// Says what is allowed, in a few words that fit behind 'expected'.
    pub fn expected(self) -> &'static str {
        match self {
            Self::Addresses => "an address such as \"127.0.0.1:8080\" or an array of addresses",
            Self::Workers => "\"auto\" or a number from 0 to 10000",
            Self::Count => "a number from 0 to 1000000",
            Self::Duration => "a duration such as \"5s\" or \"250ms\"",
        }
    }

    /// Reads a text by this kind's grammar and forgets the value, so that a text is known to be good.
    ///
    /// # Errors
    ///
    /// Whatever the grammar says about the text.
    pub fn check(self, text: &str) -> Result<(), ParseError> {
        match self {
            Self::Addresses => list::parse(text).map(drop),
            Self::Workers => workers::parse(text).map(drop),
            Self::Count => count::parse(text).map(drop),
            Self::Duration => duration::parse(text).map(drop),
        }
    }
}

/// One option, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What attribute, builder and environment call it.
    pub name: &'static str,
    /// What sort of value it takes.
    pub kind: Kind,
    /// What holds when nobody says anything, in words for people.
    pub default: &'static str,
    /// The release that brought it.
    pub since: &'static str,
    /// Its documentation, one paragraph per block of lines.
    pub doc: &'static str,
    /// What a bare number counts.
    pub unit: Option<&'static str>,
}

impl Row {
    /// Finds an option by its exact name.
    pub fn find(name: &str) -> Option<&'static Self> {
        TABLE.iter().find(|row| row.name == name)
    }

    /// Names the environment variable that overrides the option.
    pub fn env_name(&self) -> String {
        format!("PREFORK_{}", self.name.to_ascii_uppercase())
    }
}

macro_rules! kind {
    (addresses) => {
        Kind::Addresses
    };
    (workers) => {
        Kind::Workers
    };
    (count) => {
        Kind::Count
    };
    (duration) => {
        Kind::Duration
    };
}

macro_rules! optional {
    () => {
        None
    };
    ($value:literal) => {
        Some($value)
    };
}

macro_rules! rows {
    ($( $(#[doc = $doc:expr])* $name:ident : $kind:ident {
        default: $default:literal, $(unit: $unit:literal,)? since: $since:literal
    } )*) => {
        /// Every option, in the order in which the documentation shows them.
        pub const TABLE: &[Row] = &[$(Row {
            name: stringify!($name),
            kind: kind!($kind),
            default: $default,
            since: $since,
            doc: concat!($($doc, "\n"),*),
            unit: optional!($($unit)?),
        }),*];
    };
}

options! { rows }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_plain() {
        for (place, row) in TABLE.iter().enumerate() {
            assert!(
                row.name
                    .bytes()
                    .all(|byte| byte == b'_' || byte.is_ascii_lowercase()),
                "{}",
                row.name
            );
            assert!(TABLE[..place].iter().all(|other| other.name != row.name));
        }
    }

    #[test]
    fn rows_carry_words_for_people() {
        for row in TABLE {
            let first = row.doc.lines().next().unwrap_or_default();
            assert!(first.ends_with(['.', ',']) || first.len() > 20, "{row:?}");
            assert!(!row.default.is_empty() && !row.since.is_empty(), "{row:?}");
        }
    }

    #[test]
    fn quoted_defaults_are_values() {
        for row in TABLE {
            if let Some(text) = row.default.strip_prefix('"') {
                assert_eq!(row.kind.check(text.trim_end_matches('"')), Ok(()));
            }
        }
    }

    #[test]
    fn environment_names_follow_from_names() {
        let row = Row::find("recover_threshold").expect("it is in the table");

        assert_eq!(row.env_name(), "PREFORK_RECOVER_THRESHOLD");
        assert_eq!(Row::find("Workers"), None);
    }

    #[test]
    fn expectations_name_the_limits_that_the_grammars_hold() {
        assert!(
            Kind::Workers
                .expected()
                .ends_with(&workers::MAX_WORKERS.to_string())
        );
        assert!(
            Kind::Count
                .expected()
                .ends_with(&count::MAX_COUNT.to_string())
        );
    }

    #[test]
    fn a_macro_gets_its_own_tokens_before_the_rows() {
        macro_rules! rows_behind {
            (first second $( $(#[doc = $doc:expr])* $name:ident : $kind:ident { $($rest:tt)* } )*) => {
                [$(stringify!($name)),*]
            };
        }

        assert_eq!(options! { rows_behind first second }.len(), TABLE.len());
    }
}
