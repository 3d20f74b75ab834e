//! Lint levels reach the body, expectations are met once, inner attributes stay.

#![deny(warnings)]

/// Expects something of itself and of its body.
#[prefork::main(workers = 0)]
#[expect(unused_variables, reason = "the test is about this")]
#[inline]
fn main(worker: prefork::Worker) {
    #![allow(dead_code)]
    fn nobody_calls_this() {}
}

#[prefork::main]
#[expect(dead_code, reason = "the test is about this")]
fn nobody_calls_this_either() {}
