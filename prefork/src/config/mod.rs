//! What the user said, from wherever, and what holds after all of it was read.
//!
//! Names, kinds and grammars come from the one table in `prefork-options`; here they meet types.

mod environment;
mod options;
mod settled;
mod value;

pub(crate) use options::Options;
pub(crate) use settled::Config;
pub use value::IntoOption;
