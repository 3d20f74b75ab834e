//! The kinds of option values, with their grammars and descriptions.
//!
//! It does not know what a grammar allows: that is in the module of the grammar.

use crate::{
    ParseError, count, duration, flag, list, network, pem, prefix, protocols, quote, threads,
    window, workers,
};

/// The kind of value that an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One or more addresses, see [`address`](crate::address).
    Addresses,
    /// A number of workers, see [`workers`](crate::workers).
    Workers,
    /// A number of events, see [`count`](crate::count).
    Count,
    /// A duration, see [`duration`](crate::duration).
    Duration,
    /// A duration or `forever`, see [`window`](crate::window).
    Window,
    /// An address family, see [`network`](crate::network).
    Network,
    /// `true` or `false`, see [`flag`](crate::flag).
    Flag,
    /// A prefix of variables, see [`prefix`](crate::prefix).
    Prefix,
    /// A number of threads, see [`threads`](crate::threads).
    Threads,
    /// Certificates or a private key, see [`pem`](crate::pem).
    Pem,
    /// Names of application protocols, see [`protocols`](crate::protocols).
    Protocols,
    /// A function; the environment cannot set it.
    Code,
}

impl Kind {
    /// Describes the values of this kind, as a text that can follow "expected".
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

    /// Checks a text with the grammar of this kind.
    ///
    /// # Errors
    ///
    /// The error of the grammar; for [`Kind::Code`], every text is an error.
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
                "{} is text, expected a function or a closure",
                quote(text)
            ))),
        }
    }
}

/// Expands the kind of a row to its variant.
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
    fn descriptions_contain_the_limits_of_the_grammars() {
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
