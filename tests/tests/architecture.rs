//! Compares ARCHITECTURE.md and other documents with the sources.

use std::fs;
use std::path::{Path, PathBuf};

use imports::Crate;

#[path = "architecture/imports.rs"]
mod imports;

/// The modules and what each may use, as in the table of ARCHITECTURE.md.
const MODULES: [(&str, &[&str]); 16] = [
    ("supervisor", &[]),
    ("sys", &[]),
    ("error", &[]),
    ("explore", &[]),
    ("stop_signals", &[]),
    ("hook", &["error", "listen"]),
    ("config", &["error", "tls"]),
    ("channel", &["sys", "error", "config"]),
    ("spawn", &["sys", "error", "config"]),
    ("net", &["sys", "error", "config", "tls"]),
    ("listen", &["sys", "error", "config", "stop_signals"]),
    ("runtime", &["sys"]),
    ("http", &["worker"]),
    ("tls", &["sys", "error", "config", "net", "worker"]),
    (
        "master",
        &[
            "supervisor",
            "spawn",
            "listen",
            "channel",
            "tls",
            "sys",
            "error",
            "stop_signals",
            "config",
            "hook",
        ],
    ),
    (
        "worker",
        &[
            "channel",
            "listen",
            "net",
            "tls",
            "sys",
            "error",
            "stop_signals",
            "hook",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All Rust files of a module, which is a folder or a file.
fn sources(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.with_extension("rs")];
    }
    let entries = fs::read_dir(path).expect("a readable folder");
    let paths = entries.map(|entry| entry.expect("readable").path());
    paths
        .flat_map(|path| match path.extension() {
            None => sources(&path),
            Some(extension) if extension == "rs" => vec![path],
            Some(_) => Vec::new(),
        })
        .collect()
}

/// The part of a file before its tests, without comments.
fn code(path: &Path) -> String {
    let text = read(path);
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or("");
    let lines = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""));
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules that a file names as `crate::module`.
fn modules_used(code: &str) -> Vec<String> {
    // Generated documentation links to types.
    let code = code.replace("](crate::", "");
    let after = code.split("crate::").skip(1);
    after
        .map(|rest| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            rest[..end.unwrap_or(rest.len())].to_owned()
        })
        .collect()
}

#[test]
fn modules_use_only_what_they_may() {
    let src = root().join("prefork/src");
    for (module, allowed) in MODULES {
        let files = sources(&src.join(module));
        assert!(!files.is_empty(), "{module} is empty");
        // Files of tests use the builder, too.
        let is_test = |file: &PathBuf| file.components().any(|part| part.as_os_str() == "tests");
        for file in files.into_iter().filter(|file| !is_test(file)) {
            for used in modules_used(&code(&file)) {
                assert!(
                    used == module || allowed.contains(&used.as_str()),
                    "{} uses {used}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn the_modules_in_the_text_are_those_of_the_test() {
    let text = read(&root().join("ARCHITECTURE.md"));
    for (module, allowed) in MODULES {
        let row = text
            .lines()
            .find(|line| {
                line.starts_with('|')
                    && line
                        .split('|')
                        .nth(1)
                        .is_some_and(|cell| cell.contains(&format!("`{module}`")))
            })
            .unwrap_or_else(|| panic!("no row for {module}"));
        let may = row.split('|').nth(2).expect("two columns");
        let named: Vec<&str> = may.split('`').skip(1).step_by(2).collect();
        assert_eq!(named, allowed, "{module}");
    }
}

#[test]
fn every_module_is_in_the_table() {
    let src = root().join("prefork/src");
    for entry in fs::read_dir(src).expect("the crate") {
        let name = entry.expect("readable").path();
        let name = name
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let is_front = ["lib", "builder", "run", "macro_support"].contains(&name.as_str());
        assert!(
            is_front || MODULES.iter().any(|(module, _)| *module == name),
            "{name}"
        );
    }
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    for source in [
        "prefork/src",
        "prefork/options/src",
        "prefork-macros/src",
        "prefork-testkit/src",
    ] {
        let circles = Crate::read(&root().join(source)).circles();
        assert!(
            circles.is_empty(),
            "{source} has circles of imports:\n{}",
            circles.join("\n")
        );
    }
}

/// As the modules of the table, but for files.
#[test]
fn the_lifecycle_of_a_worker_uses_no_other_file() {
    let sources = Crate::read(&root().join("prefork/src"));
    let imports = sources.imports();
    let of_lifecycle = |file: &&str| file.starts_with("worker/lifecycle");
    assert!(imports.keys().any(of_lifecycle), "it has its own files");
    for file in imports.keys().filter(|file| of_lifecycle(file)) {
        let others: Vec<_> = imports[file]
            .keys()
            .filter(|file| !of_lifecycle(file))
            .collect();
        assert!(others.is_empty(), "{file} uses {others:?}");
    }
}

/// The rest of the crate is the same with and without the feature.
#[test]
fn feature_tls_is_mentioned_in_tls_and_lib_alone() {
    let src = root().join("prefork/src");
    let (mut allowed, mut others) = (0, Vec::new());
    for file in sources(&src) {
        let path = file.strip_prefix(&src).expect("a file of the crate");
        if !read(&file).contains("feature = \"tls\"") {
            continue;
        }
        if path.starts_with("tls") || path == Path::new("lib.rs") {
            allowed += 1;
        } else {
            others.push(path.to_owned());
        }
    }
    assert!(allowed > 1, "the search finds the feature");
    assert_eq!(others, [""; 0].map(PathBuf::from));
}

#[test]
fn unsafe_code_is_in_sys_alone() {
    let crates = [
        "prefork/src",
        "prefork/bench",
        "prefork/options/src",
        "prefork-macros/src",
        "prefork-testkit/src",
    ];
    for file in crates.iter().flat_map(|path| sources(&root().join(path))) {
        let path = file.to_string_lossy();
        // A constructor runs before `main` and can use the C library only.
        let is_constructor = path.ends_with("prefork-testkit/src/ctor.rs");
        // The baseline of the benchmark: a hand-written supervisor with direct system calls.
        let is_baseline = path.ends_with("prefork/bench/src/baseline.rs");
        let is_allowed = path.contains("prefork/src/sys/") || is_constructor || is_baseline;
        let has_unsafe = code(&file).contains("unsafe {");
        assert!(is_allowed || !has_unsafe, "{}", file.display());
    }
}

/// The table of `docs/OPTIONS.md`, generated from the table in `prefork-options`.
fn options_table() -> String {
    let mut text =
        "| option | takes | unit | default | environment |\n|---|---|---|---|---|\n".to_owned();
    for row in prefork_options::TABLE {
        let variable = row.env.map_or("—".to_owned(), |name| format!("`{name}`"));
        let cells = [
            &format!("`{}`", row.name),
            row.expected,
            row.unit.unwrap_or("—"),
            row.default,
            &variable,
        ];
        text.extend(["| ", &cells.join(" | "), " |\n"]);
    }
    text
}

/// `PREFORK_TESTS_WRITE=1` writes the table again.
#[test]
fn the_options_in_the_document_are_those_of_the_table() {
    const MARKS: [&str; 2] = ["<!-- options -->\n", "<!-- end of options -->"];
    let path = root().join("docs/OPTIONS.md");
    let text = read(&path);
    let table = options_table();
    let (before, rest) = text.split_once(MARKS[0]).expect("the table has its marks");
    let (found, after) = rest.split_once(MARKS[1]).expect("the table has its marks");
    if std::env::var_os("PREFORK_TESTS_WRITE").is_some() {
        let text = [before, MARKS[0], &table, MARKS[1], after].concat();
        return fs::write(&path, text).expect("docs/OPTIONS.md is writable");
    }
    assert!(
        found == table,
        "PREFORK_TESTS_WRITE=1 writes docs/OPTIONS.md again:\n{table}"
    );
}

/// In the docs of setters of values this text comes from the table. Other setters have their own.
#[test]
fn the_setters_of_functions_document_default_release_and_an_example() {
    let text = read(&root().join("prefork/src/builder/callbacks.rs"));
    for row in prefork_options::TABLE
        .iter()
        .filter(|row| row.is_function())
    {
        let (before, _) = text
            .split_once(&format!("    pub fn {}", row.name))
            .unwrap_or_else(|| panic!("{} has no setter", row.name));
        let doc = before.rsplit_once("\n\n").map_or(before, |(_, doc)| doc);
        let expected = format!("/// Default: {}. Since {}.", row.default, row.since);
        assert!(doc.contains(&expected), "{}: no '{expected}'", row.name);
        assert!(
            doc.contains("/// # Examples\n    /// ```no_run"),
            "{}",
            row.name
        );
    }
}

/// Examples without TLS do not build the crates for TLS, which take longest to build.
#[test]
fn the_examples_build_rustls_and_ring_for_tls_alone() {
    let packages = |features: &str| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut tree = std::process::Command::new(cargo);
        tree.args([
            "tree",
            "--package",
            "prefork-examples",
            "--edges",
            "normal,build",
        ])
        .args([
            "--prefix",
            "none",
            "--format",
            "{lib}",
            "--features",
            features,
        ]);
        let output = tree.output().expect("cargo runs tests");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let has = |text: &str, name| text.lines().any(|line| line == name);
    let (plain, with_tls) = (packages(""), packages("tls"));
    assert!(has(&plain, "axum") && has(&plain, "prefork"), "{plain}");
    for name in ["rustls", "ring"] {
        assert!(!has(&plain, name), "{plain}");
        assert!(has(&with_tls, name), "{with_tls}");
    }
    let manifest =
        fs::read_to_string(root().join("examples/Cargo.toml")).expect("a readable manifest");
    let https = manifest
        .split("[[example]]")
        .find(|part| part.contains("name = \"https\""));
    let https = https.expect("the example is listed");
    assert!(https.contains("required-features = [\"tls\"]"), "{https}");
}
