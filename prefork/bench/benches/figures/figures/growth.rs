//! The time that a small and a large master need to start a child.

use nix::sys::signal::{Signal, kill};

use crate::figure::{Goal, Row, Unit, seconds};
use crate::samples::Compared;
use crate::server::{Server, settle};

const ROUNDS: usize = 300;

pub(crate) fn rows() -> Vec<Row> {
    let (small, again, large) = (Grown::new(10), Grown::new(10), Grown::new(1024));
    settle();
    let [compared] = Compared::in_turn(
        ROUNDS,
        || small.start_child(),
        || again.start_child(),
        || large.start_child(),
    );
    let what = "start of a child → its `main`, by a master of 10 MiB (baseline) and of 1 GiB";
    vec![Row::ratio(
        what,
        &compared,
        Unit::Milliseconds,
        Goal::AtMost(1.3),
    )]
}

struct Grown {
    server: Server,
    child: std::cell::Cell<nix::unistd::Pid>,
}

impl Grown {
    fn new(mebibytes: usize) -> Self {
        let server = Server::other(&["grown", &mebibytes.to_string()]);
        let child = server.wait_for_report().pid.into();
        Self { server, child }
    }

    fn start_child(&self) -> [f64; 1] {
        kill(self.child.get(), Signal::SIGKILL).expect("the child is running");
        let next = self.server.wait_for_report();
        self.child.set(next.pid);
        [seconds(next.main_after)]
    }
}
