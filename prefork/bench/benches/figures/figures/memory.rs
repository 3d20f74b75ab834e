//! Memory of the master.

use nix::unistd::Pid;

use crate::figure::{Row, Unit};
use crate::proc;
use crate::samples::median;
use crate::server::{Kind, Server, settle};

const FEW: usize = 2;
const MANY: usize = 200;
/// Number of masters. The pages of a file that are mapped vary from start to start.
const STARTS: usize = 9;

pub(crate) fn rows() -> Vec<Row> {
    let masters: Vec<Server> = (0..STARTS)
        .map(|_| Server::ready(Kind::Prefork, FEW))
        .collect();
    let empty: Vec<Server> = (0..STARTS)
        .map(|_| {
            let empty = Server::other(&["empty"]);
            empty.wait_for_report();
            empty
        })
        .collect();
    let many = Server::ready(Kind::Prefork, MANY);
    settle();
    let few_anonymous = of_all(&masters, anonymous);
    let each = (anonymous(many.master) - few_anonymous) / (MANY - FEW) as f64;
    let above = of_all(&masters, resident) - of_all(&empty, resident);
    let row = |what, kibibytes, most| Row::count(what, kibibytes, Unit::Kibibytes, most);
    vec![
        row(
            "anonymous memory of the master, 2 workers",
            few_anonymous,
            512.0,
        ),
        row("the same for each worker more", each, 1.0),
        row(
            "resident memory above that of an empty `main` of the binary",
            above,
            512.0,
        ),
    ]
}

fn of_all(servers: &[Server], size: fn(Pid) -> f64) -> f64 {
    let sizes: Vec<f64> = servers.iter().map(|server| size(server.master)).collect();
    median(&sizes)
}

fn anonymous(pid: Pid) -> f64 {
    proc::status(pid, "RssAnon") as f64
}

fn resident(pid: Pid) -> f64 {
    proc::status(pid, "VmRSS") as f64
}
