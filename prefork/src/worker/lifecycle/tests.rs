//! Compares `TABLE.md` with the code, in virtual time.

mod explore;

use super::*;

const TABLES: &str = include_str!("TABLE.md");

/// The grace period of the worker.
const GRACE: Duration = Duration::from_secs(20);
const KEEPALIVE: Duration = Duration::from_millis(1_500);
const TIMES: DrainTimes = DrainTimes {
    delay: Duration::ZERO,
    grace: GRACE,
    keepalive_grace: KEEPALIVE,
};
/// The budget of a `drain` frame.
const BUDGET: Duration = Duration::from_secs(8);
/// The budget of a frame that leaves less time.
const SHORTER: Duration = Duration::from_secs(2);
/// The delay of a stop.
const DELAY: Duration = Duration::from_secs(3);
/// The time between two events.
const MOMENT: Duration = Duration::from_millis(1);

const STAGES: [&str; 7] = [
    "Gated",
    "MustOpenGate",
    "Serving",
    "Delaying",
    "MustDrain",
    "Draining",
    "Resolved",
];
const MASTERS: [&str; 6] = [
    "None",
    "Alive",
    "MustRunHook",
    "HookRunning",
    "MustTerminate",
    "Terminated",
];
/// Declares `EVENTS`, the rows of the tables of events. A new event does not compile without one.
macro_rules! rows {
    ($($name:literal: $event:ident $fields:tt,)*) => {
        const EVENTS: &[(&str, Event)] = &[$(($name, Event::$event $fields)),*];

        #[expect(unreachable_patterns, reason = "some events have two rows")]
        const _: fn(Event) = |event| match event {
            $(Event::$event { .. } => {})*
        };
    };
}

rows! {
    "`GateOpened`": GateOpened {},
    "`ReadinessChanged`, not ready": ReadinessChanged { is_ready: false },
    "`ReadinessChanged`, ready": ReadinessChanged { is_ready: true },
    "`DrainRequested`": DrainRequested { budget: BUDGET },
    "`DrainRequested`, shorter": DrainRequested { budget: SHORTER },
    "`Terminated`": Terminated {},
    "`Interrupted`": Interrupted {},
    "`MasterDied`, process gone": MasterDied { is_process_gone: true },
    "`MasterDied`, thread ended": MasterDied { is_process_gone: false },
    "`HookFinished`": HookFinished {},
    "`MainEnded`": MainEnded {},
    "`AcceptFailed`": AcceptFailed {},
    "`Changed`": Changed(OPEN),
    "`ReadableChecked`, bytes": ReadableChecked { has_readable: true },
    "`ReadableChecked`, none": ReadableChecked { has_readable: false },
}

/// One open listener, whose connections are read.
const OPEN: Connections = Connections {
    listeners: 1,
    are_sockets_closed: true,
    streams: 1,
    announces_close: false,
    unread: 0,
    last_activity: None,
};

/// The listener has ended.
const CLOSED: Connections = Connections {
    listeners: 0,
    ..OPEN
};

const ONE_UNREAD: Connections = Connections {
    unread: 1,
    ..CLOSED
};

/// A connection is open, and its next response announces that it closes.
const ONE_KEPT: Connections = Connections {
    announces_close: true,
    ..CLOSED
};

/// A lifecycle in virtual time.
#[derive(Clone)]
struct Stand {
    lifecycle: Lifecycle,
    start: Instant,
    now: Instant,
}

impl Stand {
    fn new(host: Host, has_master: bool) -> Self {
        let now = Instant::now();
        Self {
            lifecycle: Lifecycle::new(host, has_master, TIMES),
            start: now,
            now,
        }
    }

    fn worker() -> Self {
        Self::new(Host::Process, true)
    }

    /// A successor in a rollout.
    fn gated() -> Self {
        let mut stand = Self::worker();
        stand.lifecycle = stand.lifecycle.gated();
        stand
    }

    fn with(mut self, event: Event) -> Self {
        self.lifecycle.handle(event, self.now);
        self
    }

    /// Performs the next action, which has this name.
    fn performing(mut self, name: &str) -> Self {
        let action = self.lifecycle.next_action(self.now).expect(name);
        assert_eq!(action_name(action), name);
        self
    }

    /// A single process that serves on although a stop was requested.
    fn delaying() -> Self {
        let mut stand = Self::new(Host::Process, false);
        let delay = DELAY;
        stand.lifecycle = Lifecycle::new(Host::Process, false, DrainTimes { delay, ..TIMES });
        stand.with(Event::Terminated)
    }

    /// A worker that has taken back its readiness, and has reported that.
    fn unready() -> Self {
        let unready = Self::worker().with(Event::ReadinessChanged { is_ready: false });
        unready.performing("ReportReadiness, not ready")
    }

    /// A worker in this stage. A `Draining` one has these connections.
    fn in_stage(stage: &str, connections: Connections) -> Self {
        let serving = Self::worker();
        let requested = |stand: Self| stand.with(Event::DrainRequested { budget: BUDGET });
        let draining = |connections| {
            let closing = requested(Self::worker()).performing("CloseListeners");
            closing.with(Event::Changed(connections))
        };
        match stage {
            "Gated" => Self::gated(),
            "MustOpenGate" => Self::gated().with(Event::GateOpened),
            "Serving" => serving,
            "Delaying" => Self::delaying(),
            "MustDrain" => requested(serving),
            "Draining" => draining(connections),
            "Resolved" => draining(CLOSED).performing("Resolve"),
            other => panic!("no stage is called {other}"),
        }
    }

    fn of_master(master: &str) -> Self {
        let dead = || {
            Self::worker().with(Event::MasterDied {
                is_process_gone: true,
            })
        };
        let running = || {
            let started = dead().performing("RunHook").performing("CloseListeners");
            started.with(Event::Changed(OPEN))
        };
        match master {
            "None" => Self::new(Host::Process, false),
            "Alive" => Self::worker(),
            "MustRunHook" => dead(),
            "HookRunning" => running(),
            "MustTerminate" => running().with(Event::HookFinished),
            "Terminated" => running().with(Event::HookFinished).performing("Terminate"),
            other => panic!("no master is called {other}"),
        }
    }

    /// Waits for the next action. Returns when it is due, and the action.
    fn wait(&mut self) -> Option<(String, Action)> {
        let mut when = "at once".to_owned();
        loop {
            let mut earlier = self.clone();
            if let Some(action) = self.lifecycle.next_action(self.now) {
                return Some((when, action));
            }
            let deadline = self.lifecycle.deadline(self.now)?;
            assert!(deadline > self.now, "the monitor would not sleep");
            let just_before = deadline.checked_sub(Duration::from_nanos(1));
            let just_before = just_before.expect("the deadline is later than now");
            assert_eq!(earlier.lifecycle.next_action(just_before), None);
            self.now = deadline;
            when = self.time();
        }
    }

    /// The name of the present time.
    fn time(&self) -> String {
        let passed = self.now - self.start;
        let margin = Lifecycle::MASTER_KILL_MARGIN;
        for (name, budget) in [("budget", BUDGET), ("grace", GRACE)] {
            if passed == budget / 2 {
                return format!("half of the {name}");
            }
            if passed == budget {
                return format!("the {name}");
            }
            if passed == budget + margin {
                return format!("{} ms after the {name}", margin.as_millis());
            }
        }
        if passed == KEEPALIVE {
            return "keepalive_grace".to_owned();
        }
        if passed == DELAY {
            return "the delay".to_owned();
        }
        format!("{} ms", passed.as_millis())
    }

    /// Performs all actions until the process or the thread ends.
    fn end(mut self) -> String {
        let mut last = "at once".to_owned();
        loop {
            if self.lifecycle.is_over() {
                return format!("{last} | the thread ends");
            }
            match self.wait() {
                None => return "never | —".to_owned(),
                Some((when, Action::EndProcess(cause))) => {
                    let when = if when == "at once" { last } else { when };
                    return format!("{when} | {}", action_name(Action::EndProcess(cause)));
                }
                Some((when, action)) => {
                    if when != "at once" {
                        last = when;
                    }
                    if let Action::CloseListeners { .. } = action {
                        self = self.with(Event::Changed(OPEN));
                    }
                    if let Action::RunHook = action {
                        self = self.with(Event::HookFinished);
                    }
                }
            }
        }
    }
}

fn action_name(action: Action) -> String {
    match action {
        Action::OpenGate => "OpenGate".to_owned(),
        Action::AnnounceStop => "AnnounceStop".to_owned(),
        Action::ReportReadiness { is_ready: false } => "ReportReadiness, not ready".to_owned(),
        Action::ReportReadiness { is_ready: true } => "ReportReadiness, ready".to_owned(),
        Action::RunHook => "RunHook".to_owned(),
        Action::CloseListeners { .. } => "CloseListeners".to_owned(),
        Action::Shorten { .. } => "Shorten".to_owned(),
        Action::Terminate => "Terminate".to_owned(),
        Action::CheckReadable => "CheckReadable".to_owned(),
        Action::Resolve => "Resolve".to_owned(),
        Action::SendClosed => "SendClosed".to_owned(),
        Action::EndProcess(cause) => match cause {
            EndCause::Interrupted => "EndProcess, interrupted".to_owned(),
            EndCause::AcceptFailed => "EndProcess, failed".to_owned(),
            EndCause::NoGrace => "EndProcess, no grace".to_owned(),
            EndCause::TimedOut { .. } => "EndProcess, timed out".to_owned(),
        },
    }
}

impl Lifecycle {
    /// The drain, also before the listeners were asked to close.
    fn current_drain(&self) -> Option<&Drain> {
        match &self.stage {
            Stage::Gated | Stage::MustOpenGate | Stage::Serving | Stage::Delaying { .. } => None,
            Stage::MustDrain { drain, .. } | Stage::Draining(drain) | Stage::Resolved(drain) => {
                Some(drain)
            }
        }
    }
}

fn stage_name(lifecycle: &Lifecycle) -> &'static str {
    match lifecycle.stage {
        Stage::Gated => "Gated",
        Stage::MustOpenGate => "MustOpenGate",
        Stage::Serving => "Serving",
        Stage::Delaying { .. } => "Delaying",
        Stage::MustDrain { .. } => "MustDrain",
        Stage::Draining(_) => "Draining",
        Stage::Resolved(_) => "Resolved",
    }
}

fn master_name(lifecycle: &Lifecycle) -> &'static str {
    match lifecycle.master {
        Master::None => "None",
        Master::Alive => "Alive",
        Master::Dead(Orphan::MustRunHook) => "MustRunHook",
        Master::Dead(Orphan::HookRunning) => "HookRunning",
        Master::Dead(Orphan::MustTerminate) => "MustTerminate",
        Master::Dead(Orphan::Terminated) => "Terminated",
    }
}

/// The difference between two states, as a cell.
fn difference(before: &Lifecycle, after: &Stand) -> Vec<String> {
    let (new, mut effects) = (&after.lifecycle, Vec::new());
    let mut add = |is_new: bool, text: &str| {
        if is_new {
            effects.push(text.to_owned());
        }
    };
    let (stage, master) = (stage_name(new), master_name(new));
    add(master != master_name(before), &format!("`{master}`"));
    add(stage != stage_name(before), &format!("`{stage}`"));
    if let Stage::MustDrain {
        backlog,
        frees_address,
        ..
    } = &new.stage
        && stage != stage_name(before)
    {
        add(*backlog == Backlog::Serve, "serve");
        add(*backlog == Backlog::Leave, "leave");
        add(*frees_address, "frees");
    }
    let deadline = new.current_drain().map(|drain| drain.deadline);
    if let Some(deadline) = deadline
        && before.current_drain().map(|drain| drain.deadline) != Some(deadline)
    {
        let time = deadline - after.start;
        add(time == BUDGET, "budget");
        add(time == SHORTER, "shorter");
        add(time == GRACE, "grace");
    }
    let is_drain_new = match (before.draining(), new.draining()) {
        (Some(old), Some(new)) => old.connections != new.connections,
        _ => false,
    };
    add(is_drain_new, "counted");
    let is_check_new = match (before.draining(), new.draining()) {
        (Some(old), Some(new)) => old.readable != new.readable,
        _ => false,
    };
    add(is_check_new, "checked");
    let is_report_new = new.readiness.due(after.now).is_some() && new.has_reports();
    add(
        is_report_new && before.readiness.due(after.now).is_none(),
        "report due",
    );
    add(new.has_failed() != before.has_failed(), "failed");
    add(new.is_interrupted != before.is_interrupted, "interrupted");
    effects
}

/// The effect of an event, as a cell.
fn effect(stand: Stand, event: Event) -> String {
    let before = stand.lifecycle.clone();
    let after = stand.with(event);
    let effects = difference(&before, &after);
    if effects.is_empty() {
        "·".to_owned()
    } else {
        effects.join(", ")
    }
}

/// What a lifecycle does next, as the cells of a row.
fn in_time(mut stand: Stand) -> String {
    let before = stand.lifecycle.clone();
    match stand.wait() {
        None => "never | —".to_owned(),
        Some((when, action)) => {
            let mut then = vec![action_name(action)];
            then.extend(difference(&before, &stand));
            format!("{when} | {}", then.join(", "))
        }
    }
}

#[test]
fn a_stage_handles_every_event_as_in_the_table() {
    compare("Stage × event", &STAGES, |stage, event| {
        effect(Stand::in_stage(stage, ONE_UNREAD), event)
    });
}

#[test]
fn each_state_of_the_master_handles_every_event_as_in_the_table() {
    compare("Master × event", &MASTERS, |master, event| {
        effect(Stand::of_master(master), event)
    });
}

/// A worker with a kept connection whose master has died, and that has sent itself SIGTERM.
fn kept_by_orphan() -> Stand {
    let stand = Stand::of_master("Terminated");
    stand.with(Event::Changed(ONE_KEPT))
}

#[test]
fn a_stage_acts_in_time_as_in_the_table() {
    let unread = Stand::in_stage("Draining", ONE_UNREAD).performing("SendClosed");
    let kept = Stand::in_stage("Draining", ONE_KEPT).performing("SendClosed");
    let last_ends = kept.clone().with(Event::Changed(Connections {
        streams: 0,
        ..ONE_KEPT
    }));
    let checked = |has_readable| {
        let mut stand = unread.clone();
        stand.now += Duration::from_millis(250);
        stand
            .performing("CheckReadable")
            .with(Event::ReadableChecked { has_readable })
    };
    let draining = |connections| Stand::in_stage("Draining", connections);
    let resolved = Stand::in_stage("Resolved", CLOSED);
    let still_open = resolved.clone().with(Event::Changed(OPEN));
    let shorter = Event::DrainRequested { budget: SHORTER };
    let changed = |is_ready| Event::ReadinessChanged { is_ready };
    compare_rows(
        "Stage × time",
        [
            ("`Gated`", Stand::gated()),
            ("`MustOpenGate`", Stand::in_stage("MustOpenGate", OPEN)),
            ("`Serving`", Stand::worker()),
            ("`Serving`, not ready", Stand::worker().with(changed(false))),
            (
                "`Serving`, ready again",
                Stand::unready().with(changed(true)),
            ),
            ("`Gated`, not ready", Stand::gated().with(changed(false))),
            ("`Delaying`", Stand::delaying()),
            (
                "`Delaying`, announced",
                Stand::delaying().performing("AnnounceStop"),
            ),
            ("`MustDrain`", Stand::in_stage("MustDrain", OPEN)),
            ("`Draining`, a listener is open", draining(OPEN)),
            ("`Draining`, all is read", draining(CLOSED)),
            (
                "`Draining`, all is closed and one is unread",
                draining(ONE_UNREAD),
            ),
            ("`Draining`, one is unread", unread.clone()),
            ("`Draining`, unread with bytes", checked(true)),
            ("`Draining`, unread and silent", checked(false)),
            ("`Draining`, kept connections", kept.clone()),
            ("`Draining`, the last connection ends", last_ends),
            (
                "`Draining`, kept connections, master dead",
                kept_by_orphan(),
            ),
            ("`Draining`, shortened", draining(OPEN).with(shorter)),
            ("`Resolved`, shortened", resolved.clone().with(shorter)),
            ("`Resolved`, a listener is open", still_open),
            ("`Resolved`, all is closed", resolved.clone()),
            (
                "`Resolved`, closed is sent",
                resolved.performing("SendClosed"),
            ),
        ]
        .map(|(row, stand)| (row.to_owned(), in_time(stand))),
    );
}

#[test]
fn each_state_of_the_master_acts_in_time_as_in_the_table() {
    let row = |name| (format!("`{name}`"), in_time(Stand::of_master(name)));
    compare_rows("Master × time", MASTERS.map(row));
}

#[test]
fn a_worker_ends_as_in_the_table() {
    let of_test = || Stand::new(Host::Test, true);
    let single = || Stand::new(Host::Process, false);
    let no_grace = || {
        let mut stand = single();
        let times = DrainTimes {
            grace: Duration::ZERO,
            ..TIMES
        };
        stand.lifecycle = Lifecycle::new(Host::Process, false, times);
        stand
    };
    let died = Event::MasterDied {
        is_process_gone: false,
    };
    let drain = Event::DrainRequested { budget: BUDGET };
    let interrupted = |stand: Stand| stand.with(Event::Terminated).with(Event::Interrupted);
    compare_rows(
        "End × time",
        [
            ("asked by the master", Stand::worker().with(drain)),
            ("gated, asked by the master", Stand::gated().with(drain)),
            ("asked by a signal", Stand::worker().with(Event::Terminated)),
            (
                "asked by a signal, then by the master",
                Stand::worker().with(Event::Terminated).with(drain),
            ),
            (
                "asked by the master, then by a signal",
                Stand::worker().with(drain).with(Event::Terminated),
            ),
            ("`main` has ended", Stand::worker().with(Event::MainEnded)),
            (
                "accept has failed",
                Stand::worker().with(Event::AcceptFailed),
            ),
            ("the master died", Stand::worker().with(died)),
            ("gated, the master died", Stand::gated().with(died)),
            (
                "the master died in a drain",
                Stand::worker().with(drain).with(died),
            ),
            ("single, asked", single().with(Event::Terminated)),
            ("single, `main` has ended", single().with(Event::MainEnded)),
            (
                "single, accept has failed",
                single().with(Event::AcceptFailed),
            ),
            ("single, without grace", no_grace().with(Event::Terminated)),
            ("single, interrupted", interrupted(single())),
            ("test, asked", of_test().with(drain)),
            ("test, interrupted", interrupted(of_test())),
            ("test, the master died", of_test().with(died)),
        ]
        .map(|(row, stand)| (row.to_owned(), stand.end())),
    );
}

#[test]
fn a_worker_that_is_not_ready_leaves_the_queue_unless_it_is_alone() {
    let events = [Event::DrainRequested { budget: BUDGET }, Event::Terminated];
    for event in events {
        let cells = effect(Stand::unready(), event);
        assert!(cells.contains("`MustDrain`, leave"), "{event:?}: {cells}");
        let ready = Stand::unready().with(Event::ReadinessChanged { is_ready: true });
        let cells = effect(ready, event);
        assert!(cells.contains("`MustDrain`, serve"), "{event:?}: {cells}");
    }
    // Then all workers drain, and maybe none is ready.
    let died = Event::MasterDied {
        is_process_gone: true,
    };
    let cells = effect(Stand::unready(), died);
    assert!(cells.contains("`MustDrain`, serve"), "{cells}");
    let single = Stand::new(Host::Process, false);
    let single = single.with(Event::ReadinessChanged { is_ready: false });
    let cells = effect(single, Event::Terminated);
    assert!(cells.contains("`MustDrain`, serve"), "{cells}");
}

#[test]
fn changes_within_a_second_are_one_report() {
    let changed = |is_ready| Event::ReadinessChanged { is_ready };
    let mut stand = Stand::unready();
    for _ in 0..100 {
        stand.now += MOMENT;
        stand = stand.with(changed(true)).with(changed(false));
        assert_eq!(stand.lifecycle.next_action(stand.now), None);
    }
    assert_eq!(stand.lifecycle.deadline(stand.now), None, "nothing is new");
    stand = stand.with(changed(true));
    let due = stand.start + Duration::from_secs(1);
    assert_eq!(stand.lifecycle.deadline(stand.now), Some(due));
    stand.now = due;
    stand.performing("ReportReadiness, ready");
}

#[test]
fn the_drain_has_its_first_reason() {
    let stand = Stand::worker().with(Event::DrainRequested { budget: BUDGET });
    let mut stand = stand.with(Event::MainEnded).with(Event::Terminated);
    stand.now += MOMENT;
    let close = Action::CloseListeners {
        deadline: stand.start + BUDGET,
        until: stand.start + BUDGET / 2,
        backlog: Backlog::Serve,
        frees_address: false,
    };
    assert_eq!(stand.lifecycle.next_action(stand.now), Some(close));
    let stand = stand.with(Event::MasterDied {
        is_process_gone: true,
    });
    let stand = stand.with(Event::AcceptFailed).performing("RunHook");
    assert_eq!(stage_name(&stand.lifecycle), "Draining");
}

#[test]
fn a_shorter_request_is_shown_once_and_a_longer_one_never() {
    let mut stand = Stand::worker().with(Event::Terminated);
    stand = stand
        .performing("CloseListeners")
        .with(Event::Changed(OPEN));
    stand.now += MOMENT;
    let mut stand = stand.with(Event::DrainRequested { budget: BUDGET });
    let shorten = Action::Shorten {
        deadline: stand.now + BUDGET,
        until: stand.now + BUDGET / 2,
    };
    assert_eq!(stand.lifecycle.next_action(stand.now), Some(shorten));
    for longer in [Event::DrainRequested { budget: BUDGET }, Event::Terminated] {
        stand.now += MOMENT;
        stand = stand.with(longer);
        assert_eq!(stand.lifecycle.next_action(stand.now), None);
    }
}

#[test]
fn a_request_that_is_shortened_before_the_listeners_close_is_one_action() {
    let stand = Stand::worker().with(Event::Terminated);
    let mut stand = stand.with(Event::DrainRequested { budget: BUDGET });
    let close = Action::CloseListeners {
        deadline: stand.start + BUDGET,
        until: stand.start + BUDGET / 2,
        backlog: Backlog::Serve,
        frees_address: false,
    };
    assert_eq!(stand.lifecycle.next_action(stand.now), Some(close));
    let mut stand = stand.with(Event::Changed(OPEN));
    assert_eq!(stand.lifecycle.next_action(stand.now), None);
}

/// The monitor handles changes before the death of the master. The worker cannot serve its queue,
/// so it leaves the queue to the other workers, and frees an empty one.
#[test]
fn a_worker_that_cannot_serve_leaves_its_queue_also_if_its_master_dies_at_that_moment() {
    for unable in [Event::MainEnded, Event::AcceptFailed] {
        let stand = Stand::worker().with(unable);
        let stand = stand.with(Event::MasterDied {
            is_process_gone: true,
        });
        let mut stand = stand.performing("RunHook");
        let close = Action::CloseListeners {
            deadline: stand.start + GRACE,
            until: stand.start + GRACE / 2,
            backlog: Backlog::Leave,
            frees_address: false,
        };
        assert_eq!(stand.lifecycle.next_action(stand.now), Some(close));
    }
}

#[test]
fn a_worker_sends_closed_once() {
    let stand = Stand::in_stage("Resolved", CLOSED).performing("SendClosed");
    let mut stand = stand.with(Event::Changed(CLOSED));
    assert_eq!(stand.lifecycle.next_action(stand.now), None);
}

#[test]
fn a_socket_that_can_still_accept_is_not_closed() {
    let raw = Connections {
        are_sockets_closed: false,
        ..CLOSED
    };
    let stand = Stand::in_stage("Draining", raw).performing("Resolve");
    let mut stand = stand.with(Event::Changed(raw));
    assert_eq!(stand.lifecycle.next_action(stand.now), None);
}

/// Compares every cell of a table of events with `cell(column, event)`.
fn compare(title: &str, columns: &[&str], cell: impl Fn(&str, Event) -> String) {
    let line = |&(row, event): &(&str, Event)| {
        let cells: Vec<_> = columns.iter().map(|column| cell(column, event)).collect();
        (row.to_owned(), cells.join(" | "))
    };
    let header = columns.iter().map(|column| format!("`{column}`"));
    assert_eq!(table(title)[0].1, header.collect::<Vec<_>>().join(" | "));
    compare_rows(title, EVENTS.iter().map(line));
}

/// Compares the rows of a table with these: the first cell, and the others.
fn compare_rows(title: &str, rows: impl IntoIterator<Item = (String, String)>) {
    let found: Vec<_> = rows.into_iter().collect();
    let written = &table(title)[2..];
    let lines: Vec<_> = found
        .iter()
        .map(|(row, cells)| format!("| {row} | {cells} |\n"))
        .collect();
    assert!(found == written, "{title} of the code:\n{}", lines.concat());
}

/// The lines of a table: the first cell, and the others.
fn table(title: &str) -> Vec<(String, String)> {
    let heading = format!("### {title}\n");
    let (_, section) = TABLES.split_once(&heading).expect(title);
    let section = section.split("\n### ").next().expect("split yields one");
    let lines = section.lines().filter(|line| line.starts_with('|'));
    lines
        .map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let first = cells.next().expect("a line has cells").to_owned();
            (first, cells.collect::<Vec<_>>().join(" | "))
        })
        .collect()
}
