//! What the user said, from wherever, and what holds after all of it was read.
//!
//! Names, kinds and grammars come from the one table in `prefork-options`; here they meet types. The layers are plain
//! data with their origins, and one pure function settles them: a start reads its result, and so does an explanation.

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
