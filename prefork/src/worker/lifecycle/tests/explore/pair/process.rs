//! The process of a worker: its lifecycle, its end of the channel and its connections.

use std::time::{Duration, Instant};

use super::super::super::super::{Backlog, DrainTimes, Host, Lifecycle};
use super::super::{DrainFacts, TICK};
use super::GRACE;
use crate::supervisor::{ChildId, Gate};

#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Process {
    pub(super) id: ChildId,
    pub(super) lifecycle: Lifecycle,
    /// Frames that the master has not read.
    pub(super) to_master: Vec<Frame>,
    /// Whether the master has opened its gate, or it never had one.
    pub(super) may_serve: bool,
    /// The `serve` frame was sent, and the worker has not read it.
    pub(super) is_serve_due: bool,
    /// The worker has read that frame, or was never gated.
    pub(super) has_read_serve: bool,
    /// It had not read that frame when it had to stop.
    pub(super) may_leave: bool,
    /// Whether its accepts wait for the gate.
    pub(super) is_gated: bool,
    /// The `drain` frame, until the worker reads it.
    pub(super) order: Option<Order>,
    /// SIGTERM, until the worker handles it.
    pub(super) is_signaled: bool,
    pub(super) is_change_due: bool,
    pub(super) has_read_end: bool,
    /// The master has not reaped it.
    pub(super) has_exited: bool,
    pub(super) is_ready: bool,
    /// It has taken back its readiness, at least once or now.
    pub(super) was_unready: bool,
    pub(super) is_unready: bool,
    pub(super) has_main_ended: bool,
    pub(super) has_failed: bool,
    pub(super) is_listening: bool,
    pub(super) frees_address: bool,
    /// Connections: accepted and silent, accepted with bytes, read and not answered.
    pub(super) silent: u8,
    pub(super) readable: u8,
    pub(super) half_read: u8,
    /// A check found no bytes since the last change.
    pub(super) was_silent: bool,
    pub(super) listener_ended: Option<Instant>,
    /// How many connections the drain still accepts.
    pub(super) quota: Option<u8>,
    pub(super) drain: Option<DrainFacts>,
    /// The earliest deadline of the requests to stop that the worker got.
    pub(super) must_end_by: Option<Instant>,
    /// Until when the worker offers the queue: half of the time of each request.
    pub(super) offers_until: Option<Instant>,
    /// How long the `drain` frame was unread. Before it, how long the cause of the drain was
    /// unhandled, at most.
    pub(super) late: Duration,
    /// When the master kills it, as the master has announced.
    pub(super) kill_at: Option<Instant>,
    /// A later child of its slot began to drain before a stop, so it has no time left.
    pub(super) is_followed: bool,
    pub(super) is_resolved: bool,
    pub(super) sent_closed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    Ready,
    Unready,
    Ended,
    Closed,
}

#[derive(Clone, Copy)]
pub(super) struct Order {
    pub(super) budget: Duration,
    pub(super) sent: Instant,
}

impl Process {
    pub(super) fn new(id: ChildId, gate: Gate) -> Self {
        let times = DrainTimes {
            delay: Duration::ZERO,
            grace: GRACE,
            keepalive_grace: Duration::ZERO,
        };
        let lifecycle = Lifecycle::new(Host::Process, true, times);
        Self {
            id,
            lifecycle: match gate {
                Gate::Open => lifecycle,
                Gate::Closed => lifecycle.gated(),
            },
            to_master: Vec::new(),
            may_serve: gate == Gate::Open,
            is_serve_due: false,
            has_read_serve: gate == Gate::Open,
            may_leave: false,
            is_gated: gate == Gate::Closed,
            order: None,
            is_signaled: false,
            is_change_due: false,
            has_read_end: false,
            has_exited: false,
            is_ready: false,
            was_unready: false,
            is_unready: false,
            has_main_ended: false,
            has_failed: false,
            is_listening: true,
            frees_address: false,
            silent: 0,
            readable: 0,
            half_read: 0,
            was_silent: false,
            listener_ended: None,
            quota: None,
            drain: None,
            must_end_by: None,
            offers_until: None,
            late: Duration::ZERO,
            kill_at: None,
            is_followed: false,
            is_resolved: false,
            sent_closed: false,
        }
    }

    /// Whether the drain accepts no more connections of this queue.
    ///
    /// Without a master, a worker accepts until the queue is empty.
    pub(super) fn must_close(&self, now: Instant, queued: u8) -> bool {
        let is_used_up = match self.quota {
            Some(_) if self.frees_address => queued == 0,
            quota => quota == Some(0),
        };
        self.is_listening && (is_used_up || self.is_late(now))
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.drain.is_some_and(|drain| now >= drain.until)
    }

    /// Whether it may call accept(2). In a drain its quota counts.
    pub(super) fn is_accepting(&self) -> bool {
        let is_held = (self.is_gated || self.is_unready) && self.drain.is_none();
        self.is_listening && !self.has_failed && !is_held
    }

    /// When the drain stops to accept, and when it ends.
    pub(super) fn budget(&self) -> Option<(Instant, Instant)> {
        let drain = self.lifecycle.current_drain()?;
        Some((drain.half, drain.deadline))
    }

    pub(super) fn write_normal(&self, now: Instant, form: &mut Vec<u8>) {
        let Self {
            // Only the order counts.
            id: _,
            lifecycle,
            to_master,
            may_serve,
            is_serve_due,
            has_read_serve,
            may_leave,
            is_gated,
            order,
            is_signaled,
            is_change_due,
            has_read_end,
            has_exited,
            is_ready,
            was_unready,
            is_unready,
            has_main_ended,
            has_failed,
            is_listening,
            frees_address,
            silent,
            readable,
            half_read,
            was_silent,
            listener_ended,
            quota,
            drain,
            must_end_by,
            offers_until,
            late,
            kill_at,
            is_followed,
            is_resolved,
            sent_closed,
        } = self;
        let short = |time: Duration| {
            u8::try_from(time.as_millis() / TICK.as_millis()).expect("durations are short")
        };
        let ticks = |at: Instant| short(at.saturating_duration_since(now));
        // The length first, so that no two lists of frames look the same.
        form.push(u8::try_from(to_master.len()).expect("few frames"));
        form.extend(to_master.iter().map(|&frame| frame as u8));
        form.push(u8::from(*has_exited));
        form.push(u8::from(kill_at.is_some()));
        if *has_exited {
            // The rest has no effect any more.
            return;
        }
        form.extend(lifecycle.normal_form(ticks));
        form.extend([*silent, *readable, *half_read, short(*late)]);
        let order = order.map(|order| [short(order.budget), short(now - order.sent)]);
        form.extend(order.unwrap_or([u8::MAX; 2]));
        let times = [
            listener_ended.map(|at| at + TICK),
            drain.map(|drain| drain.until),
            drain.map(|drain| drain.deadline),
            *must_end_by,
            *offers_until,
            *kill_at,
        ];
        form.extend(times.map(|at| at.map_or(u8::MAX, ticks)));
        form.push(quota.unwrap_or(u8::MAX));
        let leaves = drain.is_some_and(|drain| drain.backlog == Backlog::Leave);
        let flags = [
            *is_signaled,
            *may_serve,
            *is_serve_due,
            *has_read_serve,
            *may_leave,
            *is_gated,
            *is_change_due,
            *has_read_end,
            *is_ready,
            *was_unready,
            *is_unready,
            *has_main_ended,
            *has_failed,
            *is_listening,
            *frees_address,
            *was_silent,
            leaves,
            *is_followed,
            *is_resolved,
            *sent_closed,
        ];
        form.extend(flags.map(u8::from));
    }
}
