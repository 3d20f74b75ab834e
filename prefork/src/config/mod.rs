//! The options: their values by source, and the effective configuration.
//!
//! Names, types and grammars come from the table in `prefork-options`. Each option is a stack of
//! layers, one per source, with its origin. One pure function resolves the layers. A start and
//! `PREFORK_EXPLAIN` both use its result.

mod check_tls;
mod config;
mod configuration;
mod environment;
mod explain;
mod layers;
mod listen;
mod option_layers;
mod platform_env;
mod resolve;
#[cfg(test)]
mod tests;
mod unknown_vars;
mod var_kind;

pub(crate) use config::Config;
pub use configuration::Configuration;
pub(crate) use environment::Environment;
pub(crate) use explain::render;
pub(crate) use layers::ProgramSource;
pub(crate) use listen::ListenSpec;
pub(crate) use option_layers::{ErrorLabels, OptionLayers};
pub(crate) use resolve::{Resolved, resolve, usable_cpus};
