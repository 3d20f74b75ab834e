//! Calls the user's hooks about notices. Knows which notice has which hook.

use super::notice::{Notice, PreviousChild, WorkerProcess};
use super::orphans::OrphanReaper;
use crate::error::Error;
use crate::hook::{ChildReady, ChildRecovered, ChildSpawned, FleetReady, Hooks, MasterReady};

/// Calls the hooks for this notice.
///
/// If this process is PID 1, `orphans` must not reap the processes that a hook starts.
///
/// # Errors
/// A hook returns an error or panics.
pub(super) fn call(
    hooks: &mut Hooks,
    orphans: Option<&mut OrphanReaper>,
    notice: &Notice<'_>,
) -> Result<(), Error> {
    match notice {
        Notice::WorkerStarted { worker, replaced } => {
            let WorkerProcess { slot, pid, .. } = *worker;
            excluding_new(orphans, || {
                hooks.child_spawned(&ChildSpawned { slot, pid })?;
                recovered(hooks, *worker, replaced.as_ref())
            })
        }
        Notice::WorkerPromoted { worker, replaced } => {
            excluding_new(orphans, || recovered(hooks, *worker, replaced.as_ref()))
        }
        Notice::MasterReady { pids, listeners } => {
            let ready = MasterReady {
                pids: pids.clone(),
                listeners: listeners.to_vec(),
            };
            excluding_new(orphans, || hooks.master_ready(&ready))
        }
        Notice::WorkerReady { worker, age } => {
            let WorkerProcess { slot, pid, .. } = *worker;
            let age = *age;
            excluding_new(orphans, || {
                hooks.child_ready(&ChildReady { slot, pid, age })
            })
        }
        Notice::AllHealthy { pids, listeners } => {
            let ready = FleetReady {
                pids: pids.clone(),
                listeners: listeners.to_vec(),
            };
            excluding_new(orphans, || hooks.fleet_ready(&ready))
        }
        // A new notice has no hook until the API gets one.
        _ => Ok(()),
    }
}

/// The worker fills its slot, after this process.
fn recovered(
    hooks: &mut Hooks,
    worker: WorkerProcess,
    replaced: Option<&PreviousChild>,
) -> Result<(), Error> {
    let Some(old) = replaced else {
        return Ok(());
    };
    hooks.child_recovered(&ChildRecovered {
        slot: worker.slot,
        old_pid: old.pid,
        old_end: old.how.clone(),
        new_pid: worker.pid,
    })
}

/// Calls a hook. Processes that it starts are not orphans.
fn excluding_new<R>(orphans: Option<&mut OrphanReaper>, hook: impl FnOnce() -> R) -> R {
    let known = orphans.is_some().then(OrphanReaper::children);
    let result = hook();
    if let (Some(reaper), Some(known)) = (orphans, known) {
        reaper.exclude_new(&known);
    }
    result
}
