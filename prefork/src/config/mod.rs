//! The options: their values by source, and the effective configuration.
//!
//! Names, kinds and grammars come from the table in `prefork-options`; this module gives them types.
//! Each option is a stack of layers, one per source, with its origin. One pure function resolves the
//! layers. A start and `PREFORK_EXPLAIN` both use its result.

mod config;
mod configuration;
mod endpoint;
mod environment;
mod explain;
mod lookalike;
mod options;
mod origin;
mod platform;
mod secure;
mod settings;
mod settled;
#[cfg(test)]
mod tests;
mod value;
mod variable;
mod written;

pub(crate) use config::{Config, Places};
pub use configuration::Configuration;
pub(crate) use endpoint::Endpoint;
pub(crate) use environment::Environment;
pub(crate) use explain::explain;
pub(crate) use options::Options;
pub(crate) use origin::Door;
pub use settings::Settings;
pub(crate) use settled::{Settled, settle, usable_cpus};
pub use value::IntoOption;
pub(crate) use written::InWords;
