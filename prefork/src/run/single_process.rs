//! Single-process mode: one process serves without a master.
//!
//! This happens with `workers = 0`, and on systems where a master cannot run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::config::{Config, Resolved};
use crate::error::{Error, Shortage, ShortageStage};
use crate::listen::{BindOptions, bind_all, set_blocking_modes};
use crate::master::{Log, LogLine, UNSUPPORTED, describe_listeners};
use crate::tls::BundleSource;
use crate::worker::{BodySpec, Context, OnShortage};

/// Sets `workers` to 0 if this system cannot run a master. Returns the warning about it.
pub(super) fn fall_back_to_single(resolved: &mut Resolved) -> Option<String> {
    let why = UNSUPPORTED?;
    let workers = std::mem::take(&mut resolved.config.workers);
    let line = format!("ignoring workers = {workers}: {why}; serving in a single process");
    (workers > 0).then(|| {
        resolved.ignored.push(line.clone());
        line
    })
}

/// Binds the addresses, creates the context of the process and logs the first line.
pub(super) fn start_single(
    config: &Config,
    declared: &BodySpec,
    log: Log,
) -> Result<Arc<Context>, Error> {
    // The monitor thread logs too.
    let log = Arc::new(Mutex::new(log));
    let for_shortages = Arc::clone(&log);
    let on_shortage = Box::new(move |shortage: &Shortage| {
        log_shortage(&mut lock(&for_shortages), shortage);
    });
    let context = start(config, declared, &log, on_shortage);
    lock(&log).log_error(context)
}

fn start(
    config: &Config,
    declared: &BodySpec,
    log: &Mutex<Log>,
    on_shortage: OnShortage,
) -> Result<Arc<Context>, Error> {
    let (tls, events) = BundleSource::from_config(config, SystemTime::now())?;
    let mut bound = bind_all(&config.listen, BindOptions::of(config))?;
    set_blocking_modes(&mut bound, &declared.blocking).map_err(|source| Error::Worker {
        doing: "set the blocking mode of a socket (fcntl)",
        source,
    })?;
    let listening = describe_listeners(&bound);
    let line = format!(
        "{listening} in a single process (pid {})",
        std::process::id()
    );
    let (grace, threads) = (config.shutdown_grace_period, config.runtime_threads);
    let context = Context::single(bound, grace, threads, tls, declared, on_shortage)?;
    // The context exists before this line is logged: a reader of the line may send SIGTERM at once,
    // and that must be a graceful stop.
    let mut log = lock(log);
    log.line(&LogLine::startup(&line));
    log.tls_events(events);
    Ok(context)
}

fn log_shortage(log: &mut Log, shortage: &Shortage) {
    match shortage.stage {
        ShortageStage::Begins { .. } => log.warn(&shortage.to_string()),
        ShortageStage::IsOver { .. } => log.info(&shortage.to_string()),
    }
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}
