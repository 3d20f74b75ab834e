//! The limits of TLS handshakes: how many, how long, and how long each may wait for its client.
//!
//! A longer accept queue shortens that wait, and a client that has sent something may wait longer
//! than a silent one. Does not know which handshakes are in progress: `admission` does.

use std::time::Duration;

/// The limits of one listener.
#[derive(Debug, Clone, Copy)]
pub(super) struct HandshakeLimits {
    /// How long a handshake may take.
    pub(super) timeout: Duration,
    /// The maximum of handshakes in progress plus streams that accept has not returned.
    pub(super) max: usize,
    pub(super) min_age: EvictAfter,
}

impl HandshakeLimits {
    /// The lowest default of `max`.
    const FEW: u64 = 256;

    /// The highest default of `max`: a client can make the server hold a `ClientHello` of 64 KiB.
    const MANY: u64 = 512;

    /// The default of `max`: a quarter of the descriptors that the process may have, within limits.
    pub(super) fn default_max(descriptors: u64) -> usize {
        let max = (descriptors / 4).clamp(Self::FEW, Self::MANY);
        usize::try_from(max).unwrap_or(usize::MAX)
    }

    /// The minimum age for an eviction at this stage, if `count` handshakes reach the limit.
    ///
    /// It is short enough that no connection waits in the queue for longer than
    /// [`wait_in_queue`](HandshakeStage::wait_in_queue): within that time `queued` handshakes have
    /// to end.
    pub(super) fn min_age_at(
        &self,
        stage: HandshakeStage,
        count: usize,
        queued: usize,
    ) -> Duration {
        match self.min_age {
            EvictAfter::ByQueue(longest) => {
                let to_u32 = |count| u32::try_from(count).unwrap_or(u32::MAX);
                let for_all = stage.wait_in_queue().saturating_mul(to_u32(count));
                let fast_enough = for_all.checked_div(to_u32(queued));
                let shortest = stage.min_wait().min(longest);
                fast_enough.map_or(longest, |time| time.clamp(shortest, longest))
            }
            #[cfg(test)]
            EvictAfter::Fixed(time) => time,
        }
    }
}

/// How long a handshake may wait for its client before it can be evicted for a new connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum EvictAfter {
    /// This time if the accept queue is empty; less if connections wait in it.
    ByQueue(Duration),
    #[cfg(test)]
    Fixed(Duration),
}

/// What a handshake waits for from its client. The first stage is evicted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HandshakeStage {
    /// The handshake has failed, and the client reads the alert.
    Refused,
    /// The client has sent no byte.
    Silent,
    /// The client has sent a part of its `ClientHello`.
    Begun,
    /// The server has answered the `ClientHello`.
    Answered,
}

impl HandshakeStage {
    pub(super) const ALL: [Self; 4] = [Self::Refused, Self::Silent, Self::Begun, Self::Answered];

    /// How long a connection may wait in the accept queue because of handshakes at this stage.
    const fn wait_in_queue(self) -> Duration {
        match self {
            Self::Refused | Self::Silent | Self::Begun => Duration::from_millis(10),
            Self::Answered => Duration::from_millis(50),
        }
    }

    /// The minimum age for an eviction, however long the queue is.
    ///
    /// - A client sends its `ClientHello` right after the TCP handshake, so it is silent for
    ///   milliseconds.
    /// - The parts of one `ClientHello` follow each other without a round trip.
    /// - The client's reply to the server takes one round trip, which may be 300 ms in a mobile
    ///   network.
    pub(super) const fn min_wait(self) -> Duration {
        match self {
            Self::Refused | Self::Silent => Duration::from_millis(20),
            Self::Begun => Duration::from_millis(100),
            Self::Answered => Duration::from_millis(400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_limit_is_a_quarter_of_the_descriptors_within_limits() {
        for (descriptors, max) in [
            (0, 256),
            (48, 256),
            (1024, 256),
            (1200, 300),
            (2048, 512),
            (u64::MAX, 512),
        ] {
            assert_eq!(HandshakeLimits::default_max(descriptors), max);
        }
    }
}
