//! If workers exit unexpectedly too often, the master exits and logs the reason.

use prefork_testkit::{Output, Server};

const ODD: &str = env!("CARGO_BIN_EXE_odd");

fn run(behavior: &str, threshold: &str) -> Output {
    Server::new(ODD)
        .arg(behavior)
        .env("PREFORK_RECOVER_THRESHOLD", threshold)
        .run()
}

fn exits(output: &Output) -> Vec<&String> {
    let is_exit = |line: &&String| line.starts_with("prefork: worker ") && line.contains(" after ");
    output.log.iter().filter(is_exit).collect()
}

#[test]
fn one_exit_more_than_allowed_ends_the_master_with_a_paragraph_and_the_reason() {
    let output = run("dies", "3");
    assert_eq!(output.code(), Some(75));
    assert_eq!(exits(&output).len(), 4, "{:?}", output.log);
    let last = output.log.last().expect("a last line");
    for part in [
        "4 workers exited unexpectedly",
        "(recover_threshold = 3)",
        "PREFORK_RECOVER_THRESHOLD",
    ] {
        assert!(last.contains(part), "{last}");
    }
}

#[test]
fn with_a_threshold_of_zero_the_first_exit_ends_the_master() {
    let output = run("dies", "0");
    assert_eq!(output.code(), Some(75));
    let exits = exits(&output);
    assert_eq!(exits.len(), 1, "{:?}", output.log);
    assert!(
        exits[0].contains("worker 0") && exits[0].contains("status 3"),
        "{exits:?}"
    );
}

#[test]
fn a_panic_is_reported_with_its_message_on_one_line() {
    let output = run("panics", "0");
    assert_eq!(output.code(), Some(75));
    let exits = exits(&output);
    assert_eq!(exits.len(), 1, "{:?}", output.log);
    assert!(exits[0].contains("status 101"), "{exits:?}");
    // The master escapes the output of a child, so that a terminal does not interpret it.
    assert!(
        exits[0].contains(r"out of cheese\nand \u{1b}[2J"),
        "{exits:?}"
    );
}
