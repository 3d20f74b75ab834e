//! Single-process mode: one process serves without a master.
//!
//! This happens with `workers = 0`, and on systems where a master cannot run.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::config::{Config, Resolved};
use crate::error::Error;
use crate::listen::{
    BindOptions, BindResult, ListenerInfo, OnSocket, bind_all, bind_or_stop, close_left_over,
    left_out_warnings, set_blocking_modes,
};
use crate::master::{Log, Notice, StartStep, UNSUPPORTED, send};
use crate::stop_signals::SINGLE_STOP_SIGNALS;
use crate::sys::process::is_init;
use crate::sys::signals::{ReceivedSignal, SignalReceiver, is_ignored};
use crate::tls::local_tls;
use crate::worker::{self, BodySpec, Context, DrainTimes, SingleEvent, SingleObserver};

/// The signals that PID 1 receives before its context exists.
///
/// In another process, a signal has its default action until then: it ends the process.
pub(super) fn early_signals() -> Result<Option<SignalReceiver>, Error> {
    if !is_init() {
        return Ok(None);
    }
    let signals = SignalReceiver::new().map_err(cannot("create an event descriptor (eventfd2)"))?;
    let wanted: Vec<_> = SINGLE_STOP_SIGNALS
        .into_iter()
        .filter(|&signal| !is_ignored(signal))
        .collect();
    signals
        .receive(&wanted)
        .map_err(cannot("install its signal handlers (rt_sigaction)"))?;
    Ok(Some(signals))
}

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

/// Returns a warning if a single process would have to pin itself (`pin_cpus`).
pub(super) fn pin_cpus_warning(resolved: &mut Resolved) -> Option<String> {
    let config = &resolved.config;
    if config.workers > 0 || !config.pin_cpus {
        return None;
    }
    let line = "ignoring pin_cpus = true: a single process is not pinned (workers = 0)".to_owned();
    resolved.ignored.push(line.clone());
    Some(line)
}

/// Binds the addresses, creates the context of the process and logs the first line.
///
/// Returns `None` after one of the early signals.
pub(super) fn start_single(
    config: &Config,
    on_socket: Option<&OnSocket>,
    declared: &BodySpec,
    early: Option<&SignalReceiver>,
    log: Log,
) -> Result<Option<Arc<Context>>, Error> {
    // Other threads of this process report too.
    let log = Arc::new(Mutex::new(log));
    let started = start(config, on_socket, declared, early, &log);
    let mut log = lock(&log);
    match log.log_error(started)? {
        Start::Context(context) => Ok(Some(context)),
        Start::Stopped(received, before) => {
            log.notice(&Notice::StartCanceled { received, before });
            Ok(None)
        }
    }
}

enum Start {
    Context(Arc<Context>),
    /// A signal requested a stop; and what the process had not done yet.
    Stopped(ReceivedSignal, StartStep),
}

fn start(
    config: &Config,
    on_socket: Option<&OnSocket>,
    declared: &BodySpec,
    early: Option<&SignalReceiver>,
    log: &Arc<Mutex<Log>>,
) -> Result<Start, Error> {
    let (tls, events) = local_tls(config, SystemTime::now())?;
    let mut bound = match bind(config, on_socket, early)? {
        BindResult::Bound(bound) => bound,
        BindResult::Stopped(received) => {
            return Ok(Start::Stopped(received, StartStep::Bind));
        }
    };
    set_blocking_modes(&mut bound, &declared.blocking)
        .map_err(cannot("set the blocking mode of a socket (fcntl)"))?;
    let left_over = close_left_over(&bound).into_iter();
    for warning in left_over.chain(left_out_warnings(&bound)) {
        lock(log).notice(&Notice::StartWarning(&warning));
    }
    let listeners: Vec<ListenerInfo> = bound.iter().map(|bound| bound.info.clone()).collect();
    let times = DrainTimes {
        delay: config.drain_delay,
        grace: config.shutdown_grace_period,
        keepalive_grace: config.keepalive_grace,
    };
    let threads = config.runtime_threads;
    let observer = observer(Arc::clone(log), listeners.clone(), times);
    let context = worker::start_single(bound, times, threads, tls, declared, observer)?;
    // The context has not seen the signals that arrived before it handled them.
    if let Some(received) = early.and_then(|signals| signals.take(&SINGLE_STOP_SIGNALS)) {
        return Ok(Start::Stopped(received, StartStep::Main));
    }
    // The context exists before this line is logged: a reader of the line may send SIGTERM at once,
    // and that must be a graceful stop.
    let mut log = lock(log);
    let listeners = &listeners;
    log.report(&Notice::SingleStarted { listeners });
    for event in &events {
        log.report(&Notice::Certificate(event));
    }
    drop(log);
    // Nothing will show that this `main` is ready. Its caller calls it next.
    if !declared.notifies_ready {
        context.notify_ready();
    }
    Ok(Start::Context(context))
}

fn bind(
    config: &Config,
    on_socket: Option<&OnSocket>,
    early: Option<&SignalReceiver>,
) -> Result<BindResult, Error> {
    match early {
        Some(signals) => bind_or_stop(config, on_socket, signals, &SINGLE_STOP_SIGNALS, cannot),
        None => bind_all(&config.listen, BindOptions::of(config, on_socket)).map(BindResult::Bound),
    }
}

fn cannot(doing: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Worker { doing, source }
}

/// Reports what happens later, on any thread.
fn observer(
    log: Arc<Mutex<Log>>,
    listeners: Vec<ListenerInfo>,
    times: DrainTimes,
) -> SingleObserver {
    let (is_stopping, was_ready) = (AtomicBool::new(false), AtomicBool::new(false));
    let DrainTimes { delay, grace, .. } = times;
    Arc::new(move |event| {
        let listeners = &listeners;
        let changed = |is_ready| Notice::ReadinessChanged {
            worker: None,
            is_ready,
        };
        let notice = match event {
            // As in a master: not after a stop began.
            SingleEvent::Ready if is_stopping.load(Ordering::Acquire) => return,
            SingleEvent::Unready if was_ready.load(Ordering::Acquire) => changed(false),
            SingleEvent::Unready => return,
            SingleEvent::Ready if was_ready.swap(true, Ordering::AcqRel) => changed(true),
            SingleEvent::Ready => Notice::AllHealthy {
                pids: Vec::new(),
                listeners,
            },
            SingleEvent::StopAnnounced => {
                is_stopping.store(true, Ordering::Release);
                Notice::StopBegan { delay, grace }
            }
            // The announcement came before.
            SingleEvent::StopBegan if is_stopping.swap(true, Ordering::AcqRel) => return,
            SingleEvent::StopBegan => Notice::StopBegan {
                delay: Duration::ZERO,
                grace,
            },
            SingleEvent::Shortage(shortage) => Notice::Shortage {
                worker: None,
                shortage,
            },
        };
        // Without the lock: a logger that blocks must not delay a stop.
        let failures = send(&notice);
        // The start and the stop have no line.
        let has_line = matches!(
            notice,
            Notice::Shortage { .. } | Notice::ReadinessChanged { .. }
        );
        if failures.is_empty() && !has_line {
            return;
        }
        let mut log = lock(&log);
        if has_line {
            log.notice(&notice);
        }
        for failure in &failures {
            log.notice(&Notice::NotifyFailed(failure));
        }
    })
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}
