//! What holds, for the program to read: a value for each option that an operator may say.

use std::num::NonZeroUsize;
use std::time::Duration;

use prefork_options::{Network, Pem, Protocols, Window};

use super::{Config, Endpoint};

/// The values that a start would have now, with every default filled in.
#[derive(Debug, Clone)]
pub struct Settings {
    config: Config,
}

/// A value of the configuration in words of the standard library.
trait Shown {
    type As;

    fn shown(&self) -> Self::As;
}

macro_rules! as_it_is {
    ($($type:ty),*) => { $(
        impl Shown for $type {
            type As = Self;

            fn shown(&self) -> Self {
                *self
            }
        }
    )* };
}

as_it_is! { usize, u32, bool, Duration, NonZeroUsize }

impl Shown for Vec<Endpoint> {
    type As = Vec<String>;

    fn shown(&self) -> Vec<String> {
        self.iter().map(ToString::to_string).collect()
    }
}

impl Shown for Option<Network> {
    type As = Option<String>;

    fn shown(&self) -> Option<String> {
        self.map(|network| network.to_string())
    }
}

impl Shown for Option<Pem> {
    type As = Option<String>;

    fn shown(&self) -> Option<String> {
        self.as_ref().map(ToString::to_string)
    }
}

impl Shown for Protocols {
    type As = Vec<String>;

    fn shown(&self) -> Vec<String> {
        self.names().to_vec()
    }
}

impl Shown for Window {
    type As = Option<Duration>;

    fn shown(&self) -> Option<Duration> {
        match self {
            Self::Sliding(window) => Some(*window),
            Self::Forever => None,
        }
    }
}

/// How a kind is shown, and what there is to say about that.
macro_rules! shown {
    (addresses) => { Vec<String> };
    (workers) => { usize };
    (count) => { u32 };
    (duration) => { Duration };
    (window) => { Option<Duration> };
    (network) => { Option<String> };
    (flag) => { bool };
    (threads) => { NonZeroUsize };
    (pem) => { Option<String> };
    (protocols) => { Vec<String> };
}

macro_rules! words {
    (addresses) => {
        ", each as `name=host:port`, with `tls://` before the host where that is so"
    };
    (workers) => {
        ", 0 for single mode"
    };
    (count) => {
        ""
    };
    (duration) => {
        ""
    };
    (window) => {
        ", `None` for ever"
    };
    (network) => {
        ", `None` for what each address says"
    };
    (flag) => {
        ""
    };
    (threads) => {
        ""
    };
    (pem) => {
        ", as a path or as the number of bytes"
    };
    (protocols) => {
        ""
    };
}

macro_rules! getters {
    (
        values { $( $(#[doc = $doc:expr])* $name:ident : $kind:ident {
            $(env: $env:literal,)? $(feature: $feature:literal,)? default: $default:literal,
            $(unit: $unit:literal,)? since: $since:literal,
            example: $example:expr
        } )* }
        code { $($code:tt)* }
    ) => {
        impl Settings {
            $($(
                #[doc = concat!("What holds for `", stringify!($name), "`", words!($kind), "; in the environment `", $env, "`.")]
                pub fn $name(&self) -> shown!($kind) {
                    self.config.$name.shown()
                }
            )?)*
        }
    };
}

prefork_options::options! { getters }

impl Settings {
    pub(super) fn new(config: Config) -> Self {
        Self { config }
    }
}
