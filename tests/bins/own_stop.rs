//! A `main` with one argument of the program's own type, which takes `Shutdown` from the worker.

use prefork::{ArgumentInfo, FromWorker, FromWorkerError, Shutdown, Worker};

struct Stop(Shutdown);

impl FromWorker for Stop {
    fn from_worker(worker: &Worker, _request: &ArgumentInfo<'_>) -> Result<Self, FromWorkerError> {
        Ok(Self(worker.shutdown()))
    }
}

#[prefork::main(workers = 1)]
fn main(stop: Stop) {
    println!("asked");
    stop.0.blocking_wait();
    println!("left");
}
