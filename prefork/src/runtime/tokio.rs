//! Async bodies on tokio: one thread of work per worker, as one process per CPU wants it, unless
//! `runtime_threads` says more.

use std::future::Future;
use std::num::NonZeroUsize;
use std::process::Termination;
use std::sync::mpsc::sync_channel;
use std::thread;
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

/// Also when the body panics. Tasks are dropped, and their connections closed, at once: that is the first thing that the drop
/// of a runtime does, while `shutdown_timeout` does it last.
impl<T: FnOnce() -> Duration> Drop for Bounded<T> {
    fn drop(&mut self) {
        let Some((runtime, time_to_exit)) = self.0.take() else {
            return;
        };
        let time_to_exit = time_to_exit();
        let (dropped, is_dropped) = sync_channel(1);
        let end = move || {
            drop(runtime);
            // Nobody may wait any more.
            let _ = dropped.send(());
        };
        let thread = thread::Builder::new().name("prefork-runtime".to_owned());
        // Without a thread the runtime was dropped, and its blocking tasks waited for, by now.
        if thread.spawn(end).is_ok() {
            let _ = is_dropped.recv_timeout(time_to_exit);
        }
    }
}
