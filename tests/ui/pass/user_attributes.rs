//! Lint levels apply to the body, expectations are fulfilled once, inner attributes stay.

#![deny(warnings)]

/// Has lint expectations for itself and for its body.
#[prefork::main(workers = 0)]
#[expect(unused_variables, reason = "the test is about this")]
#[inline]
fn main(worker: prefork::Worker) {
    #![allow(dead_code)]
    fn never_called_here() {}
}

#[prefork::main]
#[expect(dead_code, reason = "the test is about this")]
fn never_called_here_either() {}
