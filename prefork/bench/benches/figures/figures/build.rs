//! A cold build of `prefork` without features.

use std::process::Command;
use std::time::Instant;

use crate::figure::{Row, Unit, seconds};

pub(crate) fn rows() -> Vec<Row> {
    let target = tempfile::tempdir().expect("a temporary directory can be created");
    let begin = Instant::now();
    let built = Command::new(env!("CARGO"))
        .args(["build", "-p", "prefork", "--color", "never", "--offline"])
        .env("CARGO_TARGET_DIR", target.path())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs this bench");
    let took = seconds(begin.elapsed());
    let log = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{log}");
    let crates = log
        .lines()
        .filter(|line| line.trim_start().starts_with("Compiling"));
    vec![
        Row::time(
            "cold build without features",
            &[took],
            Unit::Seconds,
            "≤ 15 s",
        ),
        Row::count("crates of it", crates.count() as f64, Unit::Number, 30.0),
    ]
}
