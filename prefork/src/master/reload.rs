//! The answer to a request for a rollout: a future, which a thread can also wait for.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::RolloutVerdict;
use crate::sys::one_shot::{OneShotReceiver, OneShotSender, one_shot};

/// A requested rollout, returned by [`Handle::reload`](crate::Handle::reload).
///
/// It is a future that any runtime can poll. Dropping it does not cancel the rollout.
#[derive(Debug)]
#[must_use = "it has the verdict of the rollout"]
pub struct Reload(OneShotReceiver<RolloutVerdict>);

/// The end of the master. If it is dropped without a verdict, the verdict is `Stopped`.
#[derive(Debug)]
pub(super) struct ReloadReply(OneShotSender<RolloutVerdict>);

impl Reload {
    pub(super) fn new() -> (ReloadReply, Self) {
        let (sender, receiver) = one_shot();
        (ReloadReply(sender), Self(receiver))
    }

    /// Waits for the verdict.
    ///
    /// Blocks this thread, so it must not be called in an async task or in a hook of the master.
    pub fn wait(self) -> RolloutVerdict {
        self.0.recv().unwrap_or(RolloutVerdict::Stopped)
    }
}

impl Future for Reload {
    type Output = RolloutVerdict;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<RolloutVerdict> {
        self.0
            .poll_recv(context)
            .map(|verdict| verdict.unwrap_or(RolloutVerdict::Stopped))
    }
}

impl ReloadReply {
    pub(super) fn send(self, verdict: RolloutVerdict) {
        self.0.send(verdict);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_request_without_a_verdict_is_stopped() {
        let (reply, reload) = Reload::new();
        drop(reply);
        assert_eq!(reload.wait(), RolloutVerdict::Stopped);
    }

    #[test]
    fn the_future_has_the_verdict() {
        let (reply, mut reload) = Reload::new();
        let mut context = Context::from_waker(Waker::noop());
        let mut poll = || Pin::new(&mut reload).poll(&mut context);
        assert!(poll().is_pending());
        reply.send(RolloutVerdict::Superseded);
        assert_eq!(poll(), Poll::Ready(RolloutVerdict::Superseded));
    }
}
