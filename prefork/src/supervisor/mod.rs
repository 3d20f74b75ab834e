//! Policy: decides which children are started, asked to stop and killed, and when.
//!
//! The supervisor is a plain value: it receives events and returns decisions, and the time is an
//! argument. Nothing here knows a process, a descriptor, a clock or an option. The module imports
//! `std::time` and collections, so every rule is tested in virtual time. `TABLE.md` has the rules
//! as tables; a test compares them with the code.

mod action;
mod backoff;
mod budget;
mod children;
mod draining;
mod event;
mod fleet;
mod id;
#[cfg(test)]
mod normal;
mod outcome;
mod phase;
mod policy;
mod ring;
mod rollout;
mod schedule;
mod slot;
mod snapshot;
mod successor;
#[expect(
    clippy::module_inception,
    reason = "one noun per file, and this noun names the folder"
)]
mod supervisor;
#[cfg(test)]
mod tests;

pub(crate) use action::{Action, Gate, KillReason};
pub(crate) use backoff::Backoff;
pub(crate) use budget::Window;
pub(crate) use event::{Event, Readiness, StartFailure, StopMode};
pub(crate) use id::{ChildId, ProgramId, SlotId};
#[cfg(test)]
pub(crate) use normal::NormalForm;
pub(crate) use outcome::{FleetOutcome, Stop, StopCause};
pub(crate) use policy::{Parallel, Policy, RolloutPolicy};
pub(crate) use rollout::{Refusal, RefusalStage, Verdict};
pub(crate) use snapshot::Snapshot;
pub(crate) use supervisor::Supervisor;
