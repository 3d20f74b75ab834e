//! The only unsafe code of the crate: one file per kernel facility, each of which hands out owned,
//! safe types. It knows nothing of masters, workers or listeners.
#![expect(
    unsafe_code,
    reason = "this is the one place for it; every block names its obligation"
)]

pub(crate) mod accept;
pub(crate) mod bell;
pub(crate) mod clone;
pub(crate) mod env;
pub(crate) mod exit_status;
pub(crate) mod fds;
pub(crate) mod pidfd;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod signals;
pub(crate) mod stderr;
pub(crate) mod thread;
