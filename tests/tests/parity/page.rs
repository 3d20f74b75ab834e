//! `tests/PARITY.md` names existing tests for every row, and names every test with a row's prefix.
//! `docs/MIGRATING_FROM_FASTHTTP.md` has the same rows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("a package of the workspace").to_owned()
}

/// The names in the last cell of each row, by the number of the row.
fn rows(page: &str) -> BTreeMap<usize, Vec<String>> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix("| P")?.split(" | ").collect();
        let number = cells[0].trim().parse().ok()?;
        let last = cells.last()?.trim_end_matches(['|', ' ']);
        let names = last.split('`').skip(1).step_by(2);
        Some((number, names.map(str::to_owned).collect()))
    };
    page.lines().filter_map(row).collect()
}

/// The functions with `#[test]` in all sources of the folder.
fn tests(folder: &Path, found: &mut BTreeSet<String>) {
    let entries = fs::read_dir(folder).expect("a folder of the workspace");
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        let name = path.file_name().and_then(|name| name.to_str());
        if path.is_dir() {
            if !name.is_some_and(|name| name.starts_with('.') || name == "target") {
                tests(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).expect("a source");
            let parts = source.split("#[test]\n").skip(1);
            found.extend(parts.filter_map(|part| {
                let (_, rest) = part.split_once("fn ")?;
                Some(rest.split_once('(')?.0.to_owned())
            }));
        }
    }
}

fn all_tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    tests(&root(), &mut found);
    found
}

/// The rows of a file of the workspace.
fn rows_of(path: &str) -> BTreeMap<usize, Vec<String>> {
    let text = fs::read_to_string(root().join(path));
    rows(&text.unwrap_or_else(|error| panic!("{path}: {error}")))
}

/// The table that names the tests of each row.
fn parity() -> BTreeMap<usize, Vec<String>> {
    rows_of("tests/PARITY.md")
}

/// Panics if the rows are not P1 to P32.
#[track_caller]
fn assert_complete(rows: &BTreeMap<usize, Vec<String>>) {
    assert_eq!(
        rows.keys().copied().collect::<Vec<_>>(),
        (1..=32).collect::<Vec<_>>()
    );
}

#[test]
fn every_row_exists_and_names_existing_tests() {
    let (rows, tests) = (parity(), all_tests());
    assert_complete(&rows);
    for (number, names) in rows {
        assert!(!names.is_empty(), "P{number} names no test");
        for name in names {
            assert!(
                tests.contains(&name),
                "P{number}: there is no test `{name}`"
            );
        }
    }
}

#[test]
fn the_page_for_users_has_every_row() {
    assert_complete(&rows_of("docs/MIGRATING_FROM_FASTHTTP.md"));
}

#[test]
fn every_test_that_is_named_after_a_row_is_in_it() {
    let rows = parity();
    let mut rowed = 0;
    for name in all_tests() {
        let number = name
            .strip_prefix('p')
            .and_then(|rest| rest.split('_').next());
        let Some(number) = number.filter(|digits| digits.len() == 2) else {
            continue;
        };
        let Ok(number) = number.parse::<usize>() else {
            continue;
        };
        rowed += 1;
        let names = rows.get(&number);
        assert!(
            names.is_some_and(|names| names.contains(&name)),
            "P{number} lacks `{name}`"
        );
    }
    assert!(rowed > 32, "{rowed}");
}
