//! Async bodies on tokio: one thread of work per worker, as one process per CPU wants it, unless
//! `runtime_threads` says more.

use std::future::Future;
use std::num::NonZeroUsize;
use std::process::Termination;

use tokio::runtime::Builder;

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

    fn finish(self, threads: NonZeroUsize) -> F::Output {
        let mut builder = if threads == NonZeroUsize::MIN {
            Builder::new_current_thread()
        } else {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads.get());
            builder
        };
        match builder.enable_all().build() {
            Ok(runtime) => runtime.block_on(self),
            // What `#[tokio::main]` does; only descriptors and threads can be missing here.
            Err(error) => panic!("cannot make a tokio runtime: {error}"),
        }
    }
}
