//! Runs an async `main` on tokio.
//!
//! A worker has one runtime thread, which fits one process per CPU, unless `runtime_threads` sets
//! more.

use std::future::Future;
use std::num::NonZeroUsize;
use std::process::Termination;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::Body;
use crate::sys::one_shot::one_shot;

/// Marker of an async `main`.
#[derive(Debug)]
pub enum Async {}

impl<F> Body<Async> for F
where
    F: Future,
    F::Output: Termination,
{
    type Output = F::Output;

    const NEEDS_RUNTIME: bool = true;

    fn finish(self, threads: NonZeroUsize, exit_time_left: impl FnOnce() -> Duration) -> F::Output {
        let mut builder = if threads == NonZeroUsize::MIN {
            Builder::new_current_thread()
        } else {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads.get());
            builder
        };
        match builder.enable_all().build() {
            Ok(runtime) => BoundedRuntime::new(runtime, exit_time_left).block_on(self),
            // As `#[tokio::main]` does. Causes are the limits of descriptors and threads.
            Err(error) => panic!("cannot create a tokio runtime: {error}"),
        }
    }
}

/// A runtime with a bounded shutdown.
///
/// The drop of a plain runtime waits for every blocking task, without a limit.
struct BoundedRuntime<T: FnOnce() -> Duration>(Option<(Runtime, T)>);

impl<T: FnOnce() -> Duration> BoundedRuntime<T> {
    fn new(runtime: Runtime, exit_time_left: T) -> Self {
        Self(Some((runtime, exit_time_left)))
    }

    fn block_on<F: Future>(self, body: F) -> F::Output {
        let (runtime, _) = self.0.as_ref().expect("only the drop takes the runtime");
        runtime.block_on(body)
    }
}

/// This also runs if `main` panics. Dropping a runtime first drops its tasks, which closes their
/// connections at once. `shutdown_timeout` would drop them last.
impl<T: FnOnce() -> Duration> Drop for BoundedRuntime<T> {
    fn drop(&mut self) {
        let Some((runtime, exit_time_left)) = self.0.take() else {
            return;
        };
        let time_left = exit_time_left();
        let (sender, receiver) = one_shot();
        let shut_down = move || {
            drop(runtime);
            sender.send(());
        };
        let thread = thread::Builder::new().name("prefork-runtime".to_owned());
        // If no thread can be started, the closure was dropped here: the runtime has already waited
        // for all of its blocking tasks.
        if thread.spawn(shut_down).is_ok() {
            receiver.recv_timeout(time_left);
        }
    }
}
