//! Binding the addresses of a master that hears signals meanwhile: a name server that does not answer, or a port that is still
//! in use, must not hold up a stop.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use crate::config::{Config, Endpoint};
use crate::error::Error;
use crate::listen::{Binding, Bound, bind_all};
use crate::sys::bell::Bell;
use crate::sys::signals::{Received, SignalPipe};

/// What came first.
#[derive(Debug)]
pub(super) enum Bind {
    Bound(Vec<Bound>),
    /// This signal requested a stop.
    Stopped(Received),
}

/// Binds all addresses, or none. What takes time happens on a thread of its own, which nobody waits for after a stop.
///
/// # Errors
/// Those of [`bind_all`]; no thread can be started.
pub(super) fn bind(config: &Config, signals: &SignalPipe) -> Result<Bind, Error> {
    let binding = Binding::of(config);
    if config.listen.iter().all(Endpoint::is_literal) {
        let at_once = Binding {
            patience: Duration::ZERO,
            ..binding
        };
        match bind_all(&config.listen, at_once) {
            Err(Error::Listen { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => {}
            done => return done.map(Bind::Bound),
        }
    }
    let cannot = |doing| move |source| Error::Master { doing, source };
    let bell = Arc::new(Bell::new().map_err(cannot("make its own pipes"))?);
    let (sender, receiver) = sync_channel(1);
    let (endpoints, place, rings) = (
        config.listen.clone(),
        config.places.listen.clone(),
        Arc::clone(&bell),
    );
    let (network, sharing, patience) = (binding.network, binding.sharing, binding.patience);
    thread::Builder::new()
        .name("prefork-bind".to_owned())
        .spawn(move || {
            let binding = Binding {
                network,
                place: &place,
                sharing,
                patience,
            };
            // After a stop what was bound is closed here.
            let _ = sender.send(bind_all(&endpoints, binding));
            rings.ring();
        })
        .map_err(cannot("start a thread to bind its addresses"))?;
    loop {
        if let Ok(bound) = receiver.try_recv() {
            return bound.map(Bind::Bound);
        }
        if let Some(stop) = signals.received().find(is_stop) {
            return Ok(Bind::Stopped(stop));
        }
        let mut polled =
            [bell.as_fd(), signals.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        // An interrupted wait is followed by a look at both, like any other.
        let _ = poll(&mut polled, PollTimeout::NONE);
    }
}

/// Those that request a stop.
pub(super) const STOP_SIGNALS: [Signal; 4] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
];

fn is_stop(received: &Received) -> bool {
    STOP_SIGNALS.contains(&received.signal)
}
