//! What the attribute says to somebody who makes a mistake, and what it accepts without a word.
//!
//! One file per mistake. Our own texts are always compared. Where the compiler words the error, only its position is
//! ours, and the words change from release to release: these files are compared with the release that is noted beside
//! them. `TRYBUILD=overwrite` writes the expected output anew.

use std::fs;
use std::process::Command;

use trybuild::TestCases;

/// Errors that are worded by the compiler; `rustc-version` in it says by which.
const IN_WORDS_OF_RUSTC: &str = "ui/fail_in_words_of_rustc";

#[test]
fn good_forms_run() {
    TestCases::new().pass("ui/pass/*.rs");
}

#[test]
fn mistakes_are_explained() {
    let cases = TestCases::new();
    cases.compile_fail("ui/fail/*.rs");

    let noted = fs::read_to_string(format!("{IN_WORDS_OF_RUSTC}/rustc-version"))
        .expect("the file stands in the repository");
    let found = rustc_version();
    if found == noted.trim() {
        cases.compile_fail(format!("{IN_WORDS_OF_RUSTC}/*.rs"));
    } else {
        println!(
            "skipped: {IN_WORDS_OF_RUSTC} is written for rustc {}, found {found}",
            noted.trim()
        );
    }
}

/// The release without its hash and date, as in `1.95.0`.
fn rustc_version() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .arg("--version")
        .output()
        .expect("a test that was compiled has a compiler");
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace()
        .nth(1)
        .unwrap_or_default()
        .to_owned()
}
