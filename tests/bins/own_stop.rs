//! A `main` whose only argument is a type of its own, which asks the worker for its stop.

use prefork::{ArgError, Argument, ArgumentInfo, Shutdown, Worker};

struct Stop(Shutdown);

impl Argument for Stop {
    fn from_worker(worker: &Worker, _request: &ArgumentInfo<'_>) -> Result<Self, ArgError> {
        Ok(Self(worker.shutdown()))
    }
}

#[prefork::main(workers = 1)]
fn main(stop: Stop) {
    println!("asked");
    stop.0.wait();
    println!("left");
}
