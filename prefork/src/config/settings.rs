//! The effective values of the options with a variable, for the program to read.

use std::num::NonZeroUsize;
use std::time::Duration;

use prefork_options::{Network, Pem, Protocols, Window};

use super::{Config, ListenSpec};

/// The effective values of the options, including defaults.
#[derive(Debug, Clone)]
pub struct Settings {
    config: Config,
}

/// Converts a value of the configuration to a type of the standard library.
trait SettingValue {
    type As;

    fn setting(&self) -> Self::As;
}

macro_rules! as_it_is {
    ($($type:ty),*) => { $(
        impl SettingValue for $type {
            type As = Self;

            fn setting(&self) -> Self {
                *self
            }
        }
    )* };
}

as_it_is! { usize, u32, bool, Duration, NonZeroUsize }

impl SettingValue for Vec<ListenSpec> {
    type As = Vec<String>;

    fn setting(&self) -> Vec<String> {
        self.iter().map(ToString::to_string).collect()
    }
}

impl SettingValue for Option<Network> {
    type As = Option<String>;

    fn setting(&self) -> Option<String> {
        self.map(|network| network.to_string())
    }
}

impl SettingValue for Option<Pem> {
    type As = Option<String>;

    fn setting(&self) -> Option<String> {
        self.as_ref().map(ToString::to_string)
    }
}

impl SettingValue for Protocols {
    type As = Vec<String>;

    fn setting(&self) -> Vec<String> {
        self.names().to_vec()
    }
}

impl SettingValue for Window {
    type As = Option<Duration>;

    fn setting(&self) -> Option<Duration> {
        match self {
            Self::Sliding(window) => Some(*window),
            Self::Forever => None,
        }
    }
}

/// The type of a getter for a kind of option.
macro_rules! setting_type {
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

/// The addition to the documentation of a getter for a kind of option.
macro_rules! note {
    (addresses) => {
        "Each address is `name=host:port`, with `tls://` before the host if the listener uses TLS."
    };
    (workers) => {
        "0 means single-process mode."
    };
    (count) => {
        ""
    };
    (duration) => {
        ""
    };
    (window) => {
        "`None` means forever."
    };
    (network) => {
        "`None` means that each address has its own family."
    };
    (flag) => {
        ""
    };
    (threads) => {
        ""
    };
    (pem) => {
        "It is the path of the file, or a number of bytes such as `512 bytes`."
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
                #[doc = concat!("Returns the value of `", stringify!($name), "` (`", $env, "`).")]
                #[doc = ""]
                #[doc = note!($kind)]
                pub fn $name(&self) -> setting_type!($kind) {
                    self.config.$name.setting()
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
