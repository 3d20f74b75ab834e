//! The user's functions that a master calls, as one value, so that a failed start can give them
//! back.

use super::Log;
use crate::error::Error;
use crate::hook::Hooks;
use crate::spawn::CommandHook;

/// A start that failed, with the user's functions, none of which was called.
pub(crate) struct FailedStart {
    pub(crate) error: Error,
    pub(crate) callbacks: Callbacks,
    pub(crate) log: Log,
}

/// The functions of one master, except its logger.
#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) producer: Option<CommandHook>,
    pub(crate) hooks: Hooks,
}
