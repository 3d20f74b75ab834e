//! Compares the public API of the crates with `docs/public-api.txt`, so that each change of the API
//! is a change of that file.
//!
//! rustdoc writes the API as JSON. Its format and some of the names in it depend on the release of
//! Rust. So the file is written by the oldest supported release, and with another one the test
//! compares nothing. If that release changes, the test fails until the file is written again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use public_api::Builder;

/// Traits that the compiler implements by itself. If a type loses one of the others (`Send`, `Sync`),
/// programs can break.
const OTHER_AUTO_TRAITS: [&str; 5] = [
    "Freeze",
    "StructuralPartialEq",
    "Unpin",
    "UnsafeUnpin",
    "UnwindSafe",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A directory of its own: cargo does not wait for the lock of another build.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("public-api")
}

/// Runs cargo or rustc, and returns its output.
fn run(program: &str, args: &[&str]) -> String {
    let path = env::var_os(program.to_uppercase()).unwrap_or_else(|| program.into());
    let output = Command::new(path)
        .args(args)
        .current_dir(root())
        .env("CARGO_TARGET_DIR", target())
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        // A stable cargo has no options `-Z` without it.
        .env("RUSTC_BOOTSTRAP", "1")
        .output()
        .expect("the test was built with it");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The oldest supported release, as in `1.95`.
const RELEASE: &str = env!("CARGO_PKG_RUST_VERSION");

/// Whether rustc is of that release. Its patches describe the API alike.
fn is_release() -> bool {
    let version = run("rustc", &["--version"]);
    version.starts_with(&format!("rustc {RELEASE}."))
}

/// The public items of a crate with all features, one per line.
fn items(package: &str) -> Vec<String> {
    let crates = ["--lib", "--all-features", "--package", package];
    let format = ["rustdoc", "-Zunstable-options", "--output-format=json"];
    run(
        "cargo",
        &[&format[..], &crates, &["--", "--cap-lints=allow"]].concat(),
    );
    let name = package.replace('-', "_");
    let json = target().join("doc").join(name).with_extension("json");
    let api = Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .build();
    let api = api.unwrap_or_else(|error| panic!("{package}: {error}"));
    let mut lines: Vec<String> = api.items().map(ToString::to_string).collect();
    let mut implementer = None;
    lines.retain(|line| {
        if let Some((interface, of)) = implementation(line) {
            implementer = Some(format!("{of}::"));
            return !OTHER_AUTO_TRAITS
                .iter()
                .any(|name| interface.ends_with(name));
        }
        // The functions of a trait are in the docs of the trait.
        let is_of_trait = implementer
            .as_ref()
            .is_some_and(|of| line.contains(of.as_str()));
        line.starts_with("impl") || line.starts_with("pub type") || !is_of_trait
    });
    lines
}

/// `impl Trait for Type` as the trait and the type.
fn implementation(line: &str) -> Option<(&str, &str)> {
    let line = line.strip_prefix("impl")?.split(" where ").next()?;
    line.split_once(" for ")
}

/// Of the table of options, programs use only the items that `prefork` exports.
fn exported_options(exports: &[String]) -> Vec<String> {
    let names: Vec<&str> = exports
        .iter()
        .filter_map(|line| line.strip_prefix("pub use prefork::"))
        .collect();
    let mut lines = items("prefork-options");
    lines.retain(|line| {
        names.iter().any(|name| match implementation(line) {
            Some((interface, of)) => {
                interface.contains(&format!("::{name}<")) || of.ends_with(&format!("::{name}"))
            }
            None => line
                .split(['(', ' '])
                .find(|part| part.contains("::"))
                .is_some_and(|subject| subject.contains(&format!("::{name}"))),
        })
    });
    // Items of a module that the crate also exports at its root occur twice.
    lines.sort();
    lines.dedup();
    lines
}

/// `PREFORK_TESTS_WRITE=1` writes the file again.
#[test]
fn the_public_api_is_the_one_in_the_document() {
    let path = root().join("docs/public-api.txt");
    let found = fs::read_to_string(&path).unwrap_or_default();
    let head = format!(
        "# The public API with all features, as rustdoc of Rust {RELEASE} describes it.\n\
         # PREFORK_TESTS_WRITE=1 cargo test -p prefork-tests --test public_api\n",
    );
    let writes = env::var_os("PREFORK_TESTS_WRITE").is_some();
    assert!(
        writes || found.starts_with(&head),
        "docs/public-api.txt is missing, or not written by Rust {RELEASE}, the `rust-version`"
    );
    if !is_release() {
        assert!(!writes, "only Rust {RELEASE} writes docs/public-api.txt");
        println!("skipped: needs Rust {RELEASE}");
        return;
    }
    let prefork = items("prefork");
    let options = exported_options(&prefork);
    let crates = [
        ("prefork", prefork),
        ("prefork-options, as far as prefork exports it", options),
        ("prefork-testkit", items("prefork-testkit")),
    ];
    let sections = crates.map(|(name, items)| format!("\n## {name}\n\n{}\n", items.join("\n")));
    let text = head + &sections.concat();
    if writes {
        return fs::write(&path, text).expect("docs/public-api.txt is writable");
    }
    let missing: Vec<&str> = found.lines().filter(|line| !text.contains(line)).collect();
    let new: Vec<&str> = text.lines().filter(|line| !found.contains(line)).collect();
    assert!(
        found == text,
        "the public API has changed; PREFORK_TESTS_WRITE=1 writes docs/public-api.txt again\n\
         missing: {missing:#?}\nnew: {new:#?}"
    );
}
