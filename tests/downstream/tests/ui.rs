//! Compile errors if features of prefork are disabled.

use std::process::Command;

/// The rustc version whose messages the expected files contain.
const NOTED: &str = include_str!("../../ui/fail_in_words_of_rustc/rustc-version");

#[test]
fn what_needs_a_feature_names_it() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output();
    let found = output.expect("rustc has compiled this test").stdout;
    let found = String::from_utf8_lossy(&found);
    if found.split_whitespace().nth(1) == Some(NOTED.trim()) {
        trybuild::TestCases::new().compile_fail("ui/*.rs");
    } else {
        println!("skipped: ui is written for rustc {NOTED}, found {found}");
    }
}
