//! What one seed draws: the policy, and which events happen how often and how fast.
//!
//! Each seed switches classes of events on and off. A run in which everything happens reaches fewer
//! states than many runs that each lack something ('Swarm Testing', Groce and others, 2012).

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use super::super::super::{Backoff, Parallel, Policy, Readiness, RolloutPolicy, Window};

/// A virtual time or duration, in nanoseconds. The run begins at 0.
pub(super) type Nanos = u64;

pub(super) const MILLI: Nanos = 1_000_000;
const SECOND: Nanos = 1_000 * MILLI;
const DAY: Nanos = 24 * 3_600 * SECOND;

pub(super) fn nanos(duration: Duration) -> Nanos {
    Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}

/// The random numbers of a run (`SplitMix64`): the same seed gives the same run.
#[derive(Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(super) fn is_one_in(&mut self, rarity: u64) -> bool {
        self.below(rarity) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let index = self.below(from.len() as u64);
        from[usize::try_from(index).expect("an index")]
    }

    /// A number up to `max`. Every order of magnitude is equally likely.
    pub(super) fn magnitude(&mut self, max: u64) -> u64 {
        let bits = self.below(u64::from(max.ilog2()) + 1);
        (self.below(1 << bits) + (1 << bits)).min(max)
    }
}

/// How long something takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Span {
    Zero,
    Milli,
    /// Any time up to some seconds.
    Normal,
    /// Any time up to a month.
    Huge,
    /// Each time one of the others.
    Mixed,
}

impl Span {
    const ALL: [Self; 5] = [
        Self::Zero,
        Self::Milli,
        Self::Normal,
        Self::Huge,
        Self::Mixed,
    ];

    pub(super) fn draw(self, rng: &mut Rng) -> Nanos {
        match self {
            Self::Zero => 0,
            Self::Milli => MILLI,
            Self::Normal => rng.magnitude(20_000) * MILLI,
            Self::Huge => rng.magnitude(30 * DAY / SECOND) * SECOND,
            Self::Mixed => rng.pick(&Self::ALL[..4]).draw(rng),
        }
    }
}

/// A class of events: in 1 of `rarity` cases, or never.
#[derive(Clone, Copy, Debug)]
pub(super) struct Class {
    rarity: Option<u64>,
    span: Span,
}

impl Class {
    fn draw(rng: &mut Rng, rarest: u64) -> Self {
        let is_on = rng.is_one_in(2);
        let rarity = rng.magnitude(rarest);
        let span = rng.pick(&Span::ALL);
        Self {
            rarity: is_on.then_some(rarity),
            span,
        }
    }

    /// An event that ends a run is rare, or most runs would be short.
    fn ending(rng: &mut Rng, events: u64) -> Self {
        let class = Self::draw(rng, 10 * events);
        Self {
            rarity: class.rarity.map(|rarity| rarity.max(events / 4)),
            ..class
        }
    }

    /// An event that touches every slot is rarer in a large fleet.
    fn in_fleet(self, slots: u64) -> Self {
        Self {
            rarity: self.rarity.map(|rarity| rarity + slots / 8),
            ..self
        }
    }

    /// Whether it happens now, and after which time.
    pub(super) fn happens(self, rng: &mut Rng) -> Option<Nanos> {
        let happens = rng.is_one_in(self.rarity?);
        happens.then(|| self.span.draw(rng))
    }
}

/// What all children of a program do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Character {
    /// What the plan draws for each child.
    Mixed,
    /// They are ready in time, and do what they are asked.
    Good,
    CannotStart,
    NeverReady,
    ExitsBeforeReady,
    /// They exit while they serve beside the children that they replace.
    ExitsInSoak,
    /// They take back their readiness at such a time.
    UnreadyInSoak,
    /// They exit some time after their start.
    ExitsLater,
    EndsMain,
    Violates,
}

impl Character {
    pub(super) const BAD: [Self; 8] = [
        Self::CannotStart,
        Self::NeverReady,
        Self::ExitsBeforeReady,
        Self::ExitsInSoak,
        Self::UnreadyInSoak,
        Self::ExitsLater,
        Self::EndsMain,
        Self::Violates,
    ];
}

/// Everything that a seed draws before the run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) policy: Policy,
    /// After this many events, the faults end.
    pub(super) events: u64,
    /// What the master assumes of a child before its first frame.
    pub(super) readiness: Readiness,
    // The mechanism.
    pub(super) spawning: Span,
    /// Starts can also fail before the master is ready. Most of these runs are short.
    pub(super) fails_early: bool,
    pub(super) spawn_fails: Class,
    pub(super) spawn_fails_for_good: Class,
    pub(super) spawn_is_refused: Class,
    /// A start is answered some time later. The master never does that, but the supervisor allows it.
    pub(super) answers_late: Class,
    /// Or not before the faults end.
    pub(super) never_answers: Class,
    /// The exec is not finished in time.
    pub(super) exec_hangs: Class,
    /// A hook takes time, before or after the event that it is called for.
    pub(super) hook_is_slow: Class,
    pub(super) hook_fails: Class,
    /// The master is paused while it waits.
    pub(super) pause: Class,
    pub(super) listener_is_lost: Class,
    // The operator, who acts after `operator` again and again.
    pub(super) operator: Class,
    pub(super) resize: Class,
    pub(super) stop: Class,
    /// Many children exit at the same time.
    pub(super) mass_exit: Class,
    /// A rollout is requested, up to three times.
    pub(super) rollout: Class,
    pub(super) open_fails: Class,
    /// The program of a rollout has faults of its own.
    pub(super) bad_program: Class,
    // The life of a process. The times count from its start.
    pub(super) ready: Span,
    pub(super) never_ready: Class,
    pub(super) corrects_readiness: Class,
    pub(super) exits: Class,
    pub(super) main_ends: Class,
    pub(super) violates: Class,
    pub(super) closes: Class,
    /// It takes back its readiness.
    pub(super) takes_back: Class,
    pub(super) is_ready_again: Class,
    /// It cannot accept from the sockets of other slots.
    pub(super) cannot_adopt: Class,
    /// It could, and cannot take a socket.
    pub(super) fails_to_adopt: Class,
    /// A signal suspends it.
    pub(super) is_suspended: Class,
    /// It closes its channel: no frame arrives any more.
    pub(super) falls_silent: Class,
    pub(super) repeats_frames: Class,
    // From the request to stop, and from the end of `main`.
    pub(super) draining: Span,
    pub(super) ignores_drain: Class,
    pub(super) exiting: Span,
    pub(super) never_exits: Class,
    // From SIGKILL.
    pub(super) dying: Span,
    pub(super) dies_late: Class,
    /// An event about a child that has exited.
    pub(super) stale: Class,
}

impl Plan {
    /// `longest`: the largest number of events.
    pub(super) fn draw(rng: &mut Rng, longest: u64) -> Self {
        let events = rng.magnitude(longest).max(50);
        // Each slot needs some events until it serves.
        let most_slots = rng.pick(&[1, 4, 50, 1_000, 10_000]).min(events / 8 + 1);
        let slots = rng.magnitude(most_slots);
        Self {
            policy: policy(rng, slots),
            events,
            readiness: rng.pick(&[Readiness::Notified, Readiness::Assumed]),
            spawning: rng.pick(&Span::ALL[..3]),
            fails_early: rng.is_one_in(8),
            spawn_fails: Class::draw(rng, 100),
            spawn_fails_for_good: Class::draw(rng, 1_000),
            spawn_is_refused: Class::ending(rng, events),
            answers_late: Class::draw(rng, 100),
            never_answers: Class::draw(rng, 10),
            exec_hangs: Class::draw(rng, 100),
            hook_is_slow: Class::draw(rng, 100),
            hook_fails: Class::ending(rng, events),
            pause: Class::draw(rng, 1_000),
            listener_is_lost: Class::ending(rng, events),
            operator: Class {
                rarity: Some(1),
                span: rng.pick(&Span::ALL[1..]),
            },
            resize: Class::draw(rng, 10).in_fleet(slots),
            stop: Class::ending(rng, events),
            mass_exit: Class::draw(rng, 100).in_fleet(slots),
            rollout: Class::draw(rng, 10).in_fleet(slots),
            open_fails: Class::draw(rng, 20),
            bad_program: Class::draw(rng, 4),
            ready: rng.pick(&Span::ALL),
            never_ready: Class::draw(rng, 20),
            corrects_readiness: Class::draw(rng, 10),
            exits: Class::draw(rng, 10),
            main_ends: Class::draw(rng, 10),
            violates: Class::draw(rng, 20),
            closes: Class::draw(rng, 20),
            takes_back: Class::draw(rng, 10),
            cannot_adopt: Class::draw(rng, 20),
            fails_to_adopt: Class::draw(rng, 20),
            is_suspended: Class::draw(rng, 10),
            is_ready_again: Class::draw(rng, 4),
            falls_silent: Class::draw(rng, 20),
            repeats_frames: Class::draw(rng, 20),
            draining: rng.pick(&Span::ALL),
            ignores_drain: Class::draw(rng, 10),
            exiting: rng.pick(&Span::ALL),
            never_exits: Class::draw(rng, 10),
            dying: rng.pick(&Span::ALL[..3]),
            dies_late: Class::draw(rng, 20),
            stale: Class::draw(rng, 20),
        }
    }
}

fn policy(rng: &mut Rng, slots: u64) -> Policy {
    let duration = |rng: &mut Rng, span: Span| Duration::from_nanos(span.draw(rng));
    let any = |rng: &mut Rng| {
        let span = rng.pick(&Span::ALL[..4]);
        duration(rng, span)
    };
    let slots = usize::try_from(slots).expect("few slots");
    Policy {
        slots: NonZeroUsize::new(slots).expect("at least one"),
        // Most runs must not end early.
        recover_threshold: rng.pick(&[0, 5, 100, 10_000, u32::MAX, u32::MAX, u32::MAX]),
        recover_window: match rng.below(3) {
            0 => Window::Forever,
            _ => Window::Sliding(any(rng).max(Duration::from_millis(1))),
        },
        recover_interval: any(rng),
        healthy_after: any(rng),
        // Without a limit in one of five runs.
        ready_timeout: match rng.below(5) {
            0 => Duration::MAX,
            _ => any(rng).max(Duration::from_millis(1)),
        },
        // Without a delay in two of three runs.
        drain_delay: match rng.below(3) {
            0 => any(rng),
            _ => Duration::ZERO,
        },
        shutdown_grace_period: any(rng),
        exit_timeout: any(rng),
        kill_timeout: duration(rng, Span::Normal),
        rollout: RolloutPolicy {
            parallel: rng.pick(&[
                Parallel::Slots(NonZeroUsize::MIN),
                Parallel::Slots(NonZeroUsize::MAX),
                Parallel::Percent(NonZeroU8::MIN),
                Parallel::Percent(NonZeroU8::new(25).expect("not zero")),
            ]),
            soak: any(rng),
            canary: any(rng),
            timeout: any(rng).max(Duration::from_millis(1)),
        },
        standbys: rng.pick(&[0, 0, 1, 2, 5]),
        standby_pause: any(rng),
        ring_width: rng.pick(&[0, 0, 1, 2, 2, 3]),
        backoff: rng.pick(&[
            Backoff::default(),
            Backoff {
                first: Duration::from_millis(1),
                max: Duration::from_millis(1),
            },
            Backoff {
                first: Duration::from_secs(1),
                max: Duration::from_hours(1),
            },
        ]),
        jitter_seed: rng.next(),
    }
}
