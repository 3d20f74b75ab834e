//! Installs the backends in `BACKEND` (`tracing`, `log`) in every process. A backend prints its
//! events. If `BACKEND` contains `panics`, the backend panics instead.

use std::fmt::{Debug, Display, Write};

use prefork::{Role, Worker};
use prefork_tests::READY;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Metadata, Subscriber};

#[prefork::main(workers = 1, init = init)]
fn main(worker: Worker) {
    worker.notify_ready();
    println!("{READY}");
    worker.shutdown().blocking_wait();
}

fn init(_role: Role) -> Result<(), String> {
    let backends = std::env::var("BACKEND").unwrap_or_default();
    let panics = backends.contains("panics");
    if backends.contains("tracing") {
        tracing::subscriber::set_global_default(Printer { panics }).map_err(|e| e.to_string())?;
    }
    if backends.contains("log") {
        log::set_boxed_logger(Box::new(Printer { panics })).map_err(|e| e.to_string())?;
        log::set_max_level(log::LevelFilter::Info);
    }
    Ok(())
}

struct Printer {
    panics: bool,
}

impl Printer {
    fn print(&self, name: &str, level: impl Display, target: &str, text: &str) {
        assert!(!self.panics, "out of ink");
        println!("{name}: {level} {target}{text}");
    }
}

impl Subscriber for Printer {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let text = format!(" {}{}", fields.message, fields.others);
        self.print("tracing", metadata.level(), metadata.target(), &text);
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: String,
}

impl Fields {
    fn add(&mut self, name: &str, value: impl Display) {
        let _ = write!(self.others, " {name}={value}");
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.add(name, format_args!("{value:?}")),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value);
    }
}

impl<'a> log::kv::VisitSource<'a> for Fields {
    fn visit_pair(
        &mut self,
        key: log::kv::Key<'a>,
        value: log::kv::Value<'a>,
    ) -> Result<(), log::kv::Error> {
        self.add(key.as_str(), value);
        Ok(())
    }
}

impl log::Log for Printer {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let mut fields = Fields::default();
        let visited = record.key_values().visit(&mut fields);
        visited.expect("the visitor accepts every pair");
        let text = format!(" {}{}", record.args(), fields.others);
        self.print("log", record.level(), record.target(), &text);
    }

    fn flush(&self) {}
}
