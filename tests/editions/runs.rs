//! The compiled program runs and exits with the status of the body.

use std::process::Command;

#[test]
fn the_body_runs() {
    let program = env!(concat!("CARGO_BIN_EXE_", env!("CARGO_PKG_NAME")));
    let status = Command::new(program)
        .status()
        .expect("it was built beside this test");
    assert_eq!(status.code(), Some(5));
}
