//! Single mode: the one process that is its own master, because it was asked to be or because the system has none.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::config::{Config, Settled};
use crate::error::{Error, Shortage, ShortageStage};
use crate::listen::{Binding, bind_all, set_modes};
use crate::master::{Log, LogLine, WHY_THERE_IS_NONE, describe};
use crate::tls::Handed;
use crate::worker::{Context, Declared, OnShortage};

/// Where the system has no master, one process serves, whatever was said.
pub(super) fn leave_alone(settled: &mut Settled) -> Option<String> {
    let why = WHY_THERE_IS_NONE?;
    let workers = std::mem::take(&mut settled.config.workers);
    let line = format!("workers={workers}: {why}, one process serves instead");
    (workers > 0).then(|| {
        settled.idle.push(line.clone());
        line
    })
}

/// The one process of single mode, from its addresses to its first line.
pub(super) fn serve_alone(
    config: &Config,
    declared: &Declared,
    log: Log,
) -> Result<Arc<Context>, Error> {
    // The thread beside the body has lines as well.
    let log = Arc::new(Mutex::new(log));
    let for_shortages = Arc::clone(&log);
    let on_shortage = Box::new(move |shortage: &Shortage| {
        log_shortage(&mut lock(&for_shortages), shortage);
    });
    let context = begin(config, declared, &log, on_shortage);
    lock(&log).ending(context)
}

fn begin(
    config: &Config,
    declared: &Declared,
    log: &Mutex<Log>,
    on_shortage: OnShortage,
) -> Result<Arc<Context>, Error> {
    let (tls, news) = Handed::by_itself(config, SystemTime::now())?;
    let mut bound = bind_all(&config.listen, Binding::of(config))?;
    set_modes(&mut bound, &declared.blocking).map_err(|source| Error::Worker {
        doing: "set the mode of a socket (fcntl)",
        source,
    })?;
    let place = describe(&bound);
    let line = format!("{place} in a single process (pid {})", std::process::id());
    let (grace, threads) = (config.shutdown_grace_period, config.runtime_threads);
    let context = Context::single(bound, grace, threads, tls, declared, on_shortage)?;
    // Whoever reads it may send SIGTERM at once: that is a stop by now.
    let mut log = lock(log);
    log.line(&LogLine::beginning(&line));
    log.news(news);
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
