//! No lint of rustc or clippy reports generated code.
//!
//! `editions/lints` is compiled twice, with the attribute and without it, and with every lint
//! switched on that the installed compiler and clippy know. A report that exists only with the
//! attribute is about generated code. The names are read from the compiler, so that lints of later
//! releases are compared as well.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// The package with the forms.
const PACKAGE: &str = "prefork-lints";

/// A lint and the line that it reports.
type Report = (String, u64);

#[test]
fn no_lint_reports_generated_code() {
    let Some(lints) = lints_that_are_off() else {
        println!("skipped: needs clippy (`rustup component add clippy`)");
        return;
    };
    assert!(lints.iter().any(|lint| lint == "unused_results"));
    assert!(lints.iter().any(|lint| lint == "clippy::implicit_return"));

    let with = reports(&lints, &[]);
    let without = reports(&lints, &["--cfg", "bare"]);

    // The user's own code is reported in both, so the lints are on and the lines can be compared.
    let of_the_user = |reports: &BTreeSet<Report>| {
        let is_print = |(lint, _): &&Report| lint == "clippy::print_stdout";
        reports.iter().filter(is_print).count()
    };
    assert_eq!((of_the_user(&with), of_the_user(&without)), (3, 3));
    let generated: Vec<&Report> = with.difference(&without).collect();
    assert!(
        generated.is_empty(),
        "lints of generated code, with the lines in editions/lints/lib.rs: {generated:?}"
    );
}

/// The names of all lints that have to be switched on, or `None` without clippy.
fn lints_that_are_off() -> Option<Vec<String>> {
    let listed = Command::new("clippy-driver").args(["-W", "help"]).output();
    let listed = listed.ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let name = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, level) = (words.next()?, words.next()?);
        (level == "allow").then(|| name.replace('-', "_"))
    };
    Some(text.lines().filter_map(name).collect())
}

/// What the lints report in the forms.
fn reports(lints: &[String], options: &[&str]) -> BTreeSet<Report> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["rustc", "--quiet", "--package", PACKAGE, "--lib"])
        .args(["--profile", "check", "--message-format", "json"])
        .arg("--")
        // Always as warnings: an error ends the report early.
        .args(["--cap-lints", "warn"])
        .args(options)
        .args(lints.iter().flat_map(|lint| ["-W", lint]))
        .env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver");
    let output = command.output().expect("cargo runs tests");
    assert!(
        output.status.success(),
        "cannot compile the forms:\n{}",
        errors(&output)
    );
    let messages = messages(&output);
    messages.iter().filter_map(report).collect()
}

/// The compiler's messages about the forms.
fn messages(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let is_about_forms = |message: &Value| {
        let file = message["target"]["src_path"].as_str();
        message["reason"] == "compiler-message"
            && file.is_some_and(|file| Path::new(file).ends_with("editions/lints/lib.rs"))
    };
    lines.filter(is_about_forms).collect()
}

fn report(message: &Value) -> Option<Report> {
    let message = &message["message"];
    let lint = message["code"]["code"].as_str()?;
    let mut spans = message["spans"].as_array()?.iter();
    let span = spans.find(|span| span["is_primary"] == true)?;
    Some((lint.to_owned(), span["line_start"].as_u64()?))
}

fn errors(output: &Output) -> String {
    let rendered = messages(output);
    let rendered = rendered
        .iter()
        .filter_map(|message| message["message"]["rendered"].as_str());
    let log = String::from_utf8_lossy(&output.stderr);
    rendered.chain([&*log]).collect()
}
