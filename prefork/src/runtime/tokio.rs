//! Async bodies on tokio: one thread of work per worker, as one process per CPU wants it.

use std::future::Future;
use std::process::Termination;

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

    fn finish(self) -> F::Output {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        match builder.enable_all().build() {
            Ok(runtime) => runtime.block_on(self),
            // What `#[tokio::main]` does; only descriptors can be missing here.
            Err(error) => panic!("cannot make a tokio runtime: {error}"),
        }
    }
}
