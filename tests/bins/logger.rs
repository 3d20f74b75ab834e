//! A program with its own logger, which prints each line. The program also installs a subscriber,
//! which must not get the same lines.

use prefork::{LogLine, Role, Worker};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

#[prefork::main(workers = 1, init = init, logger = print)]
fn main(worker: Worker) {
    worker.notify_ready();
    worker.shutdown().blocking_wait();
}

fn print(line: &LogLine<'_>) {
    println!("logger: {:?} {line}", line.level());
}

fn init(_role: Role) -> Result<(), String> {
    tracing::subscriber::set_global_default(Counter).map_err(|e| e.to_string())
}

struct Counter;

impl Subscriber for Counter {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        println!("tracing: an event");
    }
}
