//! All handshakes of one listener: those that go on, each a task, and those that are through and not collected yet.
//!
//! It does what [`admission`](super::admission) decides; it does not accept, and what is said in a handshake is not its
//! business.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event_listener::{Event, EventListener};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep};

use super::admission::{Admission, Entry, Limits, Stage};
use super::first_of::first_of;
use super::handshake::{Progress, shake_hands};
use super::stream::Stream;
use super::tls_stream::TlsStream;
use crate::sys;

pub(super) struct Handshakes {
    config: Arc<ServerConfig>,
    state: Mutex<State>,
    one_begun: Event,
    limits_changed: Event,
    /// It is to be collected.
    one_finished: Event,
    /// One more may begin.
    room_made: Event,
}

/// Who is told of the handshakes that come to nothing.
pub(super) type OnFailure = Arc<dyn Fn(SocketAddr, &io::Error) + Send + Sync>;

struct State {
    admission: Admission,
    /// Of those that go on, by number.
    tasks: HashMap<u64, Task>,
    /// Through, and not taken by anybody yet.
    uncollected: VecDeque<(TlsStream, SocketAddr)>,
    on_failure: Option<OnFailure>,
    is_closed: bool,
}

struct Task {
    fd: RawFd,
    /// `None` for the moment in which the task is made.
    handle: Option<AbortHandle>,
}

impl Handshakes {
    pub(super) fn new(config: Arc<ServerConfig>, limits: Limits) -> Self {
        let state = State {
            admission: Admission::new(limits),
            tasks: HashMap::new(),
            uncollected: VecDeque::new(),
            on_failure: None,
            is_closed: false,
        };
        Self {
            config,
            state: Mutex::new(state),
            one_begun: Event::new(),
            limits_changed: Event::new(),
            one_finished: Event::new(),
            room_made: Event::new(),
        }
    }

    pub(super) fn change_limits(&self, change: impl FnOnce(&mut Limits)) {
        change(self.state().admission.limits_mut());
        self.limits_changed.notify(usize::MAX);
    }

    pub(super) fn limits(&self) -> Limits {
        self.state().admission.limits()
    }

    pub(super) fn tell_failures(&self, to: OnFailure) {
        self.state().on_failure = Some(to);
    }

    /// Whether one more may begin; if all places are taken, `queued` returns the length of the accept queue.
    pub(super) fn entry(&self, now: Instant, queued: impl FnOnce() -> usize) -> Entry {
        let mut state = self.state();
        let queued = if state.admission.is_full() {
            queued()
        } else {
            0
        };
        let State {
            admission, tasks, ..
        } = &mut *state;
        admission.entry(now, queued, |number| has_unread(tasks, number))
    }

    /// Resolves when there may be room; make it before asking for the [`entry`](Self::entry), or the
    /// moment in between is missed.
    pub(super) fn until_room(&self) -> EventListener {
        self.room_made.listen()
    }

    /// There is less room than the limit says: one gives way as if it were reached. Whether a
    /// handshake goes on at all.
    pub(super) fn give_way(&self, now: Instant, queued: usize) -> bool {
        let mut state = self.state();
        let State {
            admission, tasks, ..
        } = &mut *state;
        let gives_way = admission.give_way(now, queued, |number| has_unread(tasks, number));
        state.abort(gives_way);
        !state.admission.is_empty()
    }

    /// Begins one; `gives_way` is what the [`entry`](Self::entry) returned. It goes on by itself, on the
    /// runtime of the caller. Nothing begins where all was closed: the connection is dropped.
    pub(super) fn begin(
        self: &Arc<Self>,
        stream: Stream<TcpStream>,
        peer: SocketAddr,
        gives_way: Option<u64>,
    ) {
        let fd = stream.as_fd().as_raw_fd();
        let mut state = self.state();
        if state.is_closed {
            return;
        }
        let (number, gives_way) = state.admission.begin(Instant::now(), gives_way);
        state.tasks.insert(number, Task { fd, handle: None });
        state.abort(gives_way);
        drop(state);
        self.one_begun.notify(1);
        let place = Held {
            number,
            peer,
            handshakes: Arc::clone(self),
        };
        let config = Arc::clone(&self.config);
        // Without the lock: a runtime that shuts down drops the task here.
        let task = tokio::spawn(async move {
            match shake_hands(stream, config, &place).await {
                Ok(stream) => place.finish(stream),
                Err(failure) => {
                    place.fail(&failure.error);
                    failure.linger().await;
                }
            }
        });
        self.state().task_is(number, task.abort_handle());
    }

    /// Waits for a handshake that is through. Cancel safe: it is taken when it is returned.
    pub(super) async fn next_finished(&self) -> (TlsStream, SocketAddr) {
        loop {
            let finishes = self.one_finished.listen();
            let collected = self.state().collect();
            if let Some(connection) = collected {
                self.room_made.notify(usize::MAX);
                return connection;
            }
            finishes.await;
        }
    }

    /// Ends those that take too long, for as long as it is polled; set to any time, `timer` is for all of them. With one
    /// for each, every handshake would interrupt the runtime to set it.
    pub(super) async fn keep_deadlines(&self, mut timer: Pin<Box<Sleep>>) {
        loop {
            let (begins, changes) = (self.one_begun.listen(), self.limits_changed.listen());
            let deadline = self.state().end_late(Instant::now());
            match deadline {
                // Who begins meanwhile has a later one.
                Some(deadline) => {
                    timer.as_mut().reset(deadline);
                    first_of(timer.as_mut(), changes).await;
                }
                None => first_of(begins, changes).await,
            }
        }
    }

    /// Ends everything; nothing begins or finishes afterwards, and nobody is told.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        for handle in state.tasks.values().filter_map(|task| task.handle.as_ref()) {
            handle.abort();
        }
        let uncollected = std::mem::take(&mut state.uncollected);
        drop(state);
        drop(uncollected);
    }

    /// Without the lock, since it is the user's function.
    fn tell(&self, peer: SocketAddr, error: &io::Error) {
        let state = self.state();
        let on_failure = state.on_failure.clone().filter(|_| !state.is_closed);
        drop(state);
        if let Some(on_failure) = on_failure {
            on_failure(peer, error);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn abort(&self, number: Option<u64>) {
        let task = number.and_then(|number| self.tasks.get(&number));
        if let Some(handle) = task.and_then(|task| task.handle.as_ref()) {
            handle.abort();
        }
    }

    /// It may be over by now, or be given up.
    fn task_is(&mut self, number: u64, handle: AbortHandle) {
        if self.is_closed || self.admission.is_given_up(number) {
            handle.abort();
        }
        if let Some(task) = self.tasks.get_mut(&number) {
            task.handle = Some(handle);
        }
    }

    fn end_late(&mut self, now: Instant) -> Option<Instant> {
        let (late, next) = self.admission.late_ones(now);
        for number in late {
            self.abort(Some(number));
        }
        next
    }

    fn collect(&mut self) -> Option<(TlsStream, SocketAddr)> {
        let connection = self.uncollected.pop_front()?;
        self.admission.collect();
        Some(connection)
    }
}

/// Whether the system has bytes of this client, or its end, that its task has not read. The socket may be closed
/// meanwhile, and its number be another's: then the handshake is about to end anyway.
fn has_unread(tasks: &HashMap<u64, Task>, number: u64) -> bool {
    let fd = tasks.get(&number).map(|task| task.fd);
    fd.is_some_and(|fd| sys::fds::readable(&[fd]) > 0)
}

/// A place among those that go on. Held by a handshake's task; its end, however it comes, makes room.
struct Held {
    number: u64,
    peer: SocketAddr,
    handshakes: Arc<Handshakes>,
}

impl Held {
    fn finish(self, stream: TlsStream) {
        let mut state = self.handshakes.state();
        if state.is_closed {
            return;
        }
        state.admission.finish(self.number);
        state.uncollected.push_back((stream, self.peer));
        drop(state);
        // Additional: whoever was woken for another one takes only that.
        self.handshakes.one_finished.notify_additional(1);
    }

    fn fail(&self, error: &io::Error) {
        let mut state = self.handshakes.state();
        let is_news = state.admission.fail(self.number, Instant::now());
        drop(state);
        if is_news {
            self.handshakes.tell(self.peer, error);
        }
    }
}

impl Progress for Held {
    fn client_spoke(&self) {
        self.handshakes.state().admission.client_spoke(self.number);
    }

    fn waits(&self, stage: Stage) {
        let mut shared = self.handshakes.state();
        shared.admission.waits(self.number, stage, Instant::now());
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.handshakes.state();
        state.tasks.remove(&self.number);
        if !state.admission.is_going_on(self.number) {
            return;
        }
        let given_up = state.admission.end(self.number);
        drop(state);
        self.handshakes.room_made.notify(usize::MAX);
        if let Some(why) = given_up {
            let error = io::Error::new(io::ErrorKind::TimedOut, why.to_string());
            self.handshakes.tell(self.peer, &error);
        }
    }
}
