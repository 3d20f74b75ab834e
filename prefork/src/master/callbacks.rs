//! The user's functions that a master calls, as one value: a start that fails gives it back.

use crate::hook::Hooks;
use crate::spawn::Producer;

/// The functions of one master, apart from its logger.
#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) producer: Option<Producer>,
    pub(crate) hooks: Hooks,
}
