//! The options: their values by source, and the effective configuration.
//!
//! Names, kinds and grammars come from the table in `prefork-options`; this module gives them
//! types. Each option is a stack of layers, one per source, with its origin. One pure function
//! resolves the layers. A start and `PREFORK_EXPLAIN` both use its result.

mod config;
mod configuration;
mod display;
mod env_var;
mod environment;
mod into_option;
mod layers;
mod listen;
mod origin;
mod platform_env;
mod report;
mod resolve;
mod settings;
#[cfg(test)]
mod tests;
mod tls;
mod unknown_vars;

pub(crate) use config::{Config, Labels};
pub use configuration::Configuration;
pub(crate) use display::OptionReport;
pub(crate) use environment::Environment;
pub use into_option::IntoOption;
pub(crate) use layers::OptionLayers;
pub(crate) use listen::ListenSpec;
pub(crate) use origin::Source;
pub(crate) use report::render;
pub(crate) use resolve::{Resolved, resolve, usable_cpus};
pub use settings::Settings;
