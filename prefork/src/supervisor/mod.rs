//! Policy: decides which children are started, asked to go and killed, and when.
//!
//! Plain values that are told facts and asked for decisions; the time is an argument. Nothing here knows a
//! process, a descriptor, a clock or an option: it imports `std::time` and collections, so that every rule is
//! tested in virtual time. The rules as two tables stand in `TABLE.md`, which a test holds against the code.

mod action;
mod backoff;
mod budget;
mod event;
mod fleet;
mod id;
mod leaver;
mod outcome;
mod phase;
mod policy;
mod roster;
mod schedule;
mod slot;
#[expect(
    clippy::module_inception,
    reason = "one noun per file, and this noun names the folder"
)]
mod supervisor;
#[cfg(test)]
mod tests;

pub(crate) use action::{Action, KillReason};
pub(crate) use backoff::Backoff;
pub(crate) use budget::Window;
pub(crate) use event::{Event, Readiness, StartFailure, Urgency};
pub(crate) use id::{ChildId, SlotId};
pub(crate) use outcome::{Cause, Outcome};
pub(crate) use policy::Policy;
pub(crate) use supervisor::Supervisor;
