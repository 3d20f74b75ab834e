//! What clients send in a cell, and what happens to a worker meanwhile.

use std::time::Duration;

/// Duration of one round, in seconds.
pub(super) const SECONDS: u32 = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scenario {
    /// 2,000 requests a second, one after the other.
    Calm,
    /// 100 requests at once, every 50 ms.
    Bursts,
    /// As `Calm`, and one worker is stopped for 200 ms in each second.
    Stopped,
    /// As `Calm`, and a request blocks the thread of its worker for 100 ms twice a second.
    Blocked,
    /// 200 requests a second: all workers sleep when a connection arrives.
    Slow,
}

impl Scenario {
    pub(super) const ALL: [Self; 5] = [
        Self::Calm,
        Self::Bursts,
        Self::Stopped,
        Self::Blocked,
        Self::Slow,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Bursts => "bursts",
            Self::Stopped => "stopped",
            Self::Blocked => "blocked",
            Self::Slow => "slow",
        }
    }

    /// Whether a worker that serves nothing leaves another one that can.
    pub(super) fn is_possible_with(self, workers: usize) -> bool {
        match self {
            Self::Calm | Self::Bursts | Self::Slow => true,
            Self::Stopped | Self::Blocked => workers > 1,
        }
    }

    /// When the requests of one round are due, since its beginning.
    pub(super) fn arrivals(self) -> Vec<Duration> {
        let (at_once, pause) = match self {
            Self::Calm | Self::Stopped | Self::Blocked => (1, Duration::from_micros(500)),
            Self::Bursts => (100, Duration::from_millis(50)),
            Self::Slow => (1, Duration::from_millis(5)),
        };
        let end = Duration::from_secs(SECONDS.into());
        let times = (0..).map(|index| pause * index);
        times
            .take_while(|due| *due < end)
            .flat_map(|due| std::iter::repeat_n(due, at_once))
            .collect()
    }
}
