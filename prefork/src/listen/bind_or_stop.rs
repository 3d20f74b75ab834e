//! Binds the addresses while the process handles signals: a name server that does not answer, or a
//! port that is still in use, must not delay a stop.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::bind::{BindOptions, BoundListener, bind_all};
use super::bind_target::OnSocket;
use crate::config::{Config, ListenSpec};
use crate::error::Error;
use crate::sys::one_shot::one_shot;
use crate::sys::signals::{ReceivedSignal, SignalReceiver};
use crate::sys::waker::Waker;

/// The first event: the addresses are bound, or a signal requests a stop.
#[derive(Debug)]
pub(crate) enum BindResult {
    Bound(Vec<BoundListener>),
    /// A signal requested a stop.
    Stopped(ReceivedSignal),
}

/// Binds all addresses, or none. Stops at one of the signals in `stop`; others stay unread.
///
/// If this can take long, it is done on another thread. This function does not wait for that thread
/// after a stop.
///
/// # Errors
/// The errors of [`bind_all`], or the errors of `cannot` if the thread could not be started.
pub(crate) fn bind_or_stop<E>(
    config: &Config,
    on_socket: Option<&OnSocket>,
    signals: &SignalReceiver,
    stop: &[Signal],
    cannot: impl Fn(&'static str) -> E,
) -> Result<BindResult, Error>
where
    E: FnOnce(io::Error) -> Error,
{
    // The look-up of a user or a group may ask another machine, too.
    let is_known = |spec: &ListenSpec| {
        let options = &spec.options;
        spec.endpoint.is_literal() && options.owner.is_none() && options.group.is_none()
    };
    if config.listen.iter().all(is_known) {
        let at_once = BindOptions {
            timeout: Duration::ZERO,
            ..BindOptions::of(config, on_socket)
        };
        match bind_all(&config.listen, at_once) {
            Err(Error::Listen { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => {}
            done => return done.map(BindResult::Bound),
        }
    }
    let waker = Arc::new(Waker::new().map_err(cannot("create an event descriptor (eventfd2)"))?);
    let (sender, receiver) = one_shot();
    let (config, on_socket) = (config.clone(), on_socket.cloned());
    let thread_waker = Arc::clone(&waker);
    thread::Builder::new()
        .name("prefork-bind".to_owned())
        .spawn(move || {
            // After a stop there is no receiver: the sockets are dropped, which closes them.
            let options = BindOptions::of(&config, on_socket.as_ref());
            sender.send(bind_all(&config.listen, options));
            thread_waker.wake();
        })
        .map_err(cannot("start a thread that binds its addresses"))?;
    loop {
        if let Some(bound) = receiver.try_recv() {
            return bound.map(BindResult::Bound);
        }
        if let Some(stop) = signals.take(stop) {
            return Ok(BindResult::Stopped(stop));
        }
        let mut polled =
            [waker.as_fd(), signals.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        // The loop checks both sources after an interrupted wait, too.
        let _ = poll(&mut polled, PollTimeout::NONE);
    }
}
