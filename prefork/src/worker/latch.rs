//! Which role this process was started in, read once.

use std::sync::OnceLock;

use crate::channel::ROLE_VARIABLE;
use crate::listen::VARIABLES;
use crate::sys;

/// The variables that a master set for this process.
#[derive(Debug)]
pub(crate) struct Latched {
    /// A handful, looked through: every worker reads them on its way to its first answer.
    variables: Vec<(&'static str, String)>,
}

impl Latched {
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let mut variables = self.variables.iter();
        let (_, value) = variables.find(|(known, _)| *known == name)?;
        Some(value.clone())
    }
}

/// The role, if a master started this process.
///
/// The first call reads the variables and takes them out of the environment, so that programs
/// which this one starts do not think that they are children; the answer stays, whatever becomes of
/// the environment.
pub(crate) fn latched() -> Option<&'static Latched> {
    static LATCH: OnceLock<Option<Latched>> = OnceLock::new();
    LATCH.get_or_init(read).as_ref()
}

fn read() -> Option<Latched> {
    std::env::var_os(ROLE_VARIABLE)?;
    let all = || VARIABLES.into_iter().chain([ROLE_VARIABLE]);
    let value = |name| Some((name, std::env::var_os(name)?.to_string_lossy().into_owned()));
    let variables = all().filter_map(value).collect();
    // With threads about (the builder, called late) removing is unsound; then they stay, and say
    // nothing to others: the descriptors are close-on-exec.
    let _removed = sys::env::remove_all(all());
    Some(Latched { variables })
}
