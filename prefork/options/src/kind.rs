//! What sort of value an option takes: which grammar reads it, and what to expect in a few words.
//!
//! It knows the grammars by name; what each allows is theirs.

use crate::{
    ParseError, count, duration, flag, list, network, pem, prefix, protocols, quote, threads,
    window, workers,
};

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
    /// A span of time or for ever, see [`window`](crate::window).
    Window,
    /// A family of addresses, see [`network`](crate::network).
    Network,
    /// Yes or no, see [`flag`](crate::flag).
    Flag,
    /// How variables begin, see [`prefix`](crate::prefix).
    Prefix,
    /// A number of threads, see [`threads`](crate::threads).
    Threads,
    /// Certificates or a key, see [`pem`](crate::pem).
    Pem,
    /// Names of protocols, see [`protocols`](crate::protocols).
    Protocols,
    /// A function; not in the environment.
    Code,
}

impl Kind {
    /// Says what is allowed, in a few words that fit behind 'expected'.
    pub fn expected(self) -> &'static str {
        match self {
            Self::Addresses => "an address such as \"127.0.0.1:8080\" or an array of addresses",
            Self::Workers => workers::ALLOWED,
            Self::Count => "a number from 0 to 1000000",
            Self::Duration => "a duration such as \"5s\" or \"250ms\"",
            Self::Window => "a duration such as \"1m\", or \"forever\"",
            Self::Network => "\"tcp\", \"tcp4\" or \"tcp6\"",
            Self::Flag => "`true` or `false`",
            Self::Prefix => "a prefix such as \"MYAPP\"",
            Self::Threads => "a number from 1 to 1024",
            Self::Pem => "the path of a PEM file, or its bytes",
            Self::Protocols => "protocols such as \"h2,http/1.1\" or an array of them",
            Self::Code => "a function or a closure",
        }
    }

    /// Reads a text by this kind's grammar and forgets the value, so that a text is known to be good.
    ///
    /// # Errors
    ///
    /// Whatever the grammar says about the text; every text where code is wanted.
    pub fn check(self, text: &str) -> Result<(), ParseError> {
        match self {
            Self::Addresses => list::parse(text).map(drop),
            Self::Workers => workers::parse(text).map(drop),
            Self::Count => count::parse(text).map(drop),
            Self::Duration => duration::parse(text).map(drop),
            Self::Window => window::parse(text).map(drop),
            Self::Network => network::parse(text).map(drop),
            Self::Flag => flag::parse(text).map(drop),
            Self::Prefix => prefix::parse(text).map(drop),
            Self::Threads => threads::parse(text).map(drop),
            Self::Pem => pem::parse(text).map(drop),
            Self::Protocols => protocols::parse(text).map(drop),
            Self::Code => Err(ParseError::new(format!(
                "{} is a text, expected code",
                quote(text)
            ))),
        }
    }
}

/// The kind that a row of the table names.
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
    (window) => {
        Kind::Window
    };
    (network) => {
        Kind::Network
    };
    (flag) => {
        Kind::Flag
    };
    (prefix) => {
        Kind::Prefix
    };
    (threads) => {
        Kind::Threads
    };
    (pem) => {
        Kind::Pem
    };
    (protocols) => {
        Kind::Protocols
    };
}

pub(crate) use kind;

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(
            Kind::Threads
                .expected()
                .ends_with(&threads::MAX_THREADS.to_string())
        );
    }
}
