//! Context switches and threads of an idle master.

use std::thread;
use std::time::Duration;

use crate::figure::{Row, Unit};
use crate::proc;
use crate::server::{Kind, Server, settle};

pub(crate) fn rows() -> Vec<Row> {
    let server = Server::ready(Kind::Prefork, 2);
    settle();
    let before = proc::context_switches(server.master);
    thread::sleep(Duration::from_secs(10));
    let switches = proc::context_switches(server.master) - before;
    let threads = proc::status(server.master, "Threads");
    let row = |what, count: u64, most| Row::count(what, count as f64, Unit::Number, most);
    vec![
        row("context switches of an idle master in 10 s", switches, 0.0),
        row("its threads", threads, 1.0),
    ]
}
