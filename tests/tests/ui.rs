//! The errors of the attribute for each mistake, the forms that it accepts, and the errors of a
//! builder that is used in a wrong order.
//!
//! Each mistake has its own file. The error texts of the crate are always compared. If the compiler
//! writes the text, the crate determines only the position, and the text depends on the release.
//! These files are compared only if the release is the one in their `rustc-version`.
//! `TRYBUILD=overwrite` rewrites the expected output.

use std::fs;
use std::process::Command;

use trybuild::TestCases;

/// The folder of errors with texts of the compiler. Its file `rustc-version` names the release.
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
        .expect("the repository contains the file");
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
        .expect("the compiler that built the test is available");
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace()
        .nth(1)
        .unwrap_or_default()
        .to_owned()
}
