//! All handshakes of one listener: those that go on, and those that are over and not collected yet.
//!
//! Knows how many there may be and which one gives way; does not accept, and does not know TLS.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use event_listener::{Event, EventListener};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::handshake::shake_hands;
use super::stream::Stream;
use super::tls_stream::TlsStream;

/// A handshake that is older than this gives way to a new one where there is no room for both.
const PROTECTED: Duration = Duration::from_secs(1);

pub(super) struct Handshakes {
    config: Arc<ServerConfig>,
    state: Mutex<State>,
    /// One more goes on.
    begun: Event,
    /// One more is to be collected.
    finished: Event,
    /// One more may begin.
    room: Event,
}

struct State {
    limits: Limits,
    /// In the order of their age.
    going_on: BTreeMap<u64, GoingOn>,
    next_number: u64,
    finished: VecDeque<(TlsStream, SocketAddr)>,
    is_closed: bool,
}

/// What a listener allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) timeout: Duration,
    /// Of those that go on and those that nobody has collected together.
    pub(super) max: usize,
}

struct GoingOn {
    since: Instant,
    /// Its task; unknown for the moment in which that is made.
    task: Option<AbortHandle>,
    is_given_up: bool,
}

/// Whether one more handshake may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Open,
    /// Ask again when there is room, or then: the oldest is old enough to give way.
    Full(Option<Instant>),
}

impl Handshakes {
    pub(super) fn new(config: Arc<ServerConfig>, limits: Limits) -> Self {
        let state = State {
            limits,
            going_on: BTreeMap::new(),
            next_number: 0,
            finished: VecDeque::new(),
            is_closed: false,
        };
        Self {
            config,
            state: Mutex::new(state),
            begun: Event::new(),
            finished: Event::new(),
            room: Event::new(),
        }
    }

    pub(super) fn change_limits(&self, change: impl FnOnce(&mut Limits)) {
        change(&mut self.state().limits);
    }

    pub(super) fn limits(&self) -> Limits {
        self.state().limits
    }

    pub(super) fn admission(&self, now: Instant) -> Admission {
        self.state().admission(now)
    }

    /// Resolves when there may be room; make it before asking for [`admission`](Self::admission),
    /// or the moment in between is missed.
    pub(super) fn until_room(&self) -> EventListener {
        self.room.listen()
    }

    /// There is less room than the limit says: the oldest gives way as if it were reached. Whether a
    /// handshake goes on at all.
    pub(super) fn give_way(&self, now: Instant) -> bool {
        self.state().give_way(now)
    }

    /// Begins one; the oldest gives way if there are too many now. It goes on by itself, on the
    /// runtime of the caller.
    pub(super) fn begin(self: &Arc<Self>, stream: Stream<TcpStream>, peer: SocketAddr) {
        let now = Instant::now();
        let mut state = self.state();
        let number = state.add(now);
        state.make_room(now);
        drop(state);
        self.begun.notify(1);
        let place = Place {
            number,
            handshakes: Arc::clone(self),
        };
        let config = Arc::clone(&self.config);
        // Without the lock: a runtime that shuts down drops the task here.
        let task = tokio::spawn(async move {
            if let Some(stream) = shake_hands(stream, config).await {
                place.finish(stream, peer);
            }
        });
        if let Some(going_on) = self.state().going_on.get_mut(&number) {
            going_on.task_is(task.abort_handle());
        }
    }

    /// Waits for a handshake that is over. Cancel safe: it is taken when it is returned.
    pub(super) async fn next_finished(&self) -> (TlsStream, SocketAddr) {
        loop {
            let waiting = self.finished.listen();
            let finished = self.state().finished.pop_front();
            if let Some(connection) = finished {
                self.room.notify(usize::MAX);
                return connection;
            }
            waiting.await;
        }
    }

    /// Ends those that take too long, for as long as it is polled. One timer for all: with one for
    /// each, every handshake would interrupt the runtime to set it.
    pub(super) async fn keep_deadlines(&self) {
        loop {
            let begins = self.begun.listen();
            let deadline = self.state().give_up_late(Instant::now());
            match deadline {
                // Who begins meanwhile has a later one.
                Some(deadline) => sleep_until(deadline).await,
                None => begins.await,
            }
        }
    }

    /// Ends everything; nothing finishes afterwards.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        for going_on in state.going_on.values_mut() {
            going_on.give_up();
        }
        let uncollected = std::mem::take(&mut state.finished);
        drop(state);
        drop(uncollected);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&self) -> usize {
        self.going_on.len() + self.finished.len()
    }

    /// One that was given up counts until its socket is closed, so that there is never more than
    /// one beyond the limit.
    fn admission(&self, now: Instant) -> Admission {
        if self.count() < self.limits.max {
            return Admission::Open;
        }
        let oldest = self.going_on.values().next();
        match oldest {
            Some(oldest) if !oldest.is_given_up && self.count() == self.limits.max => {
                let old = oldest.since + PROTECTED;
                if now < old {
                    Admission::Full(Some(old))
                } else {
                    Admission::Open
                }
            }
            Some(_) | None => Admission::Full(None),
        }
    }

    fn add(&mut self, now: Instant) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        let going_on = GoingOn {
            since: now,
            task: None,
            is_given_up: false,
        };
        self.going_on.insert(number, going_on);
        number
    }

    fn make_room(&mut self, now: Instant) {
        if self.count() > self.limits.max {
            self.give_way(now);
        }
    }

    /// Gives up all whose time is over, and says whose is next.
    fn give_up_late(&mut self, now: Instant) -> Option<Instant> {
        for going_on in self.going_on.values_mut().filter(|it| !it.is_given_up) {
            let deadline = going_on.since.checked_add(self.limits.timeout)?;
            if now < deadline {
                return Some(deadline);
            }
            going_on.give_up();
        }
        None
    }

    /// Not one that is young: where it is the oldest, others have just finished.
    fn give_way(&mut self, now: Instant) -> bool {
        let Some(mut oldest) = self.going_on.first_entry() else {
            return false;
        };
        if now >= oldest.get().since + PROTECTED {
            oldest.get_mut().give_up();
        }
        true
    }
}

impl GoingOn {
    fn task_is(&mut self, task: AbortHandle) {
        if self.is_given_up {
            task.abort();
        }
        self.task = Some(task);
    }

    fn give_up(&mut self) {
        self.is_given_up = true;
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Held by a handshake's task; its end, however it comes, makes room.
struct Place {
    number: u64,
    handshakes: Arc<Handshakes>,
}

impl Place {
    fn finish(self, stream: TlsStream, peer: SocketAddr) {
        let mut state = self.handshakes.state();
        if state.is_closed {
            return;
        }
        state.going_on.remove(&self.number);
        state.finished.push_back((stream, peer));
        drop(state);
        // Additional: whoever was woken for another one takes only that.
        self.handshakes.finished.notify_additional(1);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self
            .handshakes
            .state()
            .going_on
            .remove(&self.number)
            .is_some()
        {
            self.handshakes.room.notify(usize::MAX);
        }
    }
}
