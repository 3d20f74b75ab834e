//! Async bodies on tokio: one thread of work per worker, as one process per CPU wants it, unless
//! `runtime_threads` says more.

use std::future::Future;
use std::num::NonZeroUsize;
use std::process::Termination;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::Body;

/// A body that is a future.
#[derive(Debug)]
pub enum Async {}

impl<F> Body<Async> for F
where
    F: Future,
    F::Output: Termination,
{
    type Output = F::Output;

    const NEEDS_RUNTIME: bool = true;

    fn finish(self, threads: NonZeroUsize, time_to_exit: impl FnOnce() -> Duration) -> F::Output {
        let mut builder = if threads == NonZeroUsize::MIN {
            Builder::new_current_thread()
        } else {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads.get());
            builder
        };
        match builder.enable_all().build() {
            Ok(runtime) => Bounded::new(runtime, time_to_exit).block_on(self),
            // What `#[tokio::main]` does; only descriptors and threads can be missing here.
            Err(error) => panic!("cannot make a tokio runtime: {error}"),
        }
    }
}

/// A runtime whose end does not wait for ever: dropping one waits for every blocking task.
struct Bounded<T: FnOnce() -> Duration>(Option<(Runtime, T)>);

impl<T: FnOnce() -> Duration> Bounded<T> {
    fn new(runtime: Runtime, time_to_exit: T) -> Self {
        Self(Some((runtime, time_to_exit)))
    }

    fn block_on<F: Future>(self, body: F) -> F::Output {
        let (runtime, _) = self.0.as_ref().expect("it is taken by the drop alone");
        runtime.block_on(body)
    }
}

/// Also when the body panics.
impl<T: FnOnce() -> Duration> Drop for Bounded<T> {
    fn drop(&mut self) {
        if let Some((runtime, time_to_exit)) = self.0.take() {
            runtime.shutdown_timeout(time_to_exit());
        }
    }
}
