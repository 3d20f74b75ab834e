//! A graceful stop with a request in flight: the time from its response to the master's exit.

use std::thread;
use std::time::{Duration, Instant};

use crate::client;
use crate::figure::{Row, Unit, seconds};
use crate::server::{Kind, Server};

const ROUNDS: usize = 30;

pub(crate) fn rows() -> Vec<Row> {
    let samples: Vec<f64> = (0..ROUNDS).map(|_| answer_to_end()).collect();
    let what = "graceful stop: the last answer → the master is gone";
    vec![Row::time(what, &samples, Unit::Milliseconds, "≤ 10 ms")]
}

fn answer_to_end() -> f64 {
    let server = Server::ready(Kind::Prefork, 2);
    let addr = server.addr;
    let request = thread::spawn(move || {
        client::ask(addr, "/slow?ms=300").expect("the worker answers a request in flight");
        Instant::now()
    });
    // After this pause the request is in flight; the worker answers it later.
    thread::sleep(Duration::from_millis(100));
    server.ask_to_stop();
    let answered_at = request.join().expect("the client thread does not panic");
    server.wait();
    seconds(answered_at.elapsed())
}
