//! `PREFORK_MACRO_DEBUG` prints the expansion, tested with a real compiler.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SOURCE: &str = "#![crate_type = \"lib\"]

/// The part of the runtime that the expansion calls.
pub mod fake {
    pub mod __private {
        pub fn run<R>(_: impl FnOnce(()), _: [(); 0], _: fn() -> R) -> std::process::ExitCode {
            std::process::ExitCode::SUCCESS
        }
        pub trait Describe {
            fn failure(&self) -> Option<String> {
                None
            }
        }
        impl<T> Describe for T {}
        pub struct MainGuard;
        impl MainGuard {
            pub fn new() -> Self {
                Self
            }
            pub fn returned<T>(self, value: T, _: impl FnOnce(&T) -> Option<String>) -> T {
                value
            }
        }
    }
}

#[prefork_macros::main(crate = crate::fake)]
pub fn serve() {
    let _body = 4;
}
";

#[test]
fn the_expansion_is_printed_on_request() {
    assert_eq!(compile(None), "");
    assert_eq!(compile(Some("0")), "");

    let shown = compile(Some("1"));
    let first = shown.lines().next().unwrap_or_default();
    assert!(first.starts_with("// `#[prefork::main]` at "), "{shown}");
    assert!(first.ends_with("source.rs:27 expands to"), "{shown}");
    let line = "\n    use crate :: fake :: __private as __prefork_runtime;\n";
    assert!(shown.contains(line), "{shown}");
    assert!(shown.contains("let _body = 4;"), "{shown}");
}

/// Compiles the source; returns the stderr of the compiler.
fn compile(debug: Option<&str>) -> String {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let source = folder.join("source.rs");
    fs::write(&source, SOURCE).expect("a writable folder");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output: Output = Command::new(rustc)
        .args(["--edition=2024", "--emit=metadata", "--extern"])
        .arg(format!("prefork_macros={}", library().display()))
        .arg("--out-dir")
        .args([&folder, &source])
        .env_remove("PREFORK_MACRO_DEBUG")
        .envs(debug.map(|value| ("PREFORK_MACRO_DEBUG", value)))
        .output()
        .expect("the compiler that has compiled this test");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

/// The attribute's library that cargo built for this test: the newest one in its folder.
fn library() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let folder = test.parent().expect("its folder");
    let entries = fs::read_dir(folder).expect("a readable folder");
    let libraries = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let written = path.metadata().ok()?.modified().ok()?;
        is_library(&path).then_some((written, path))
    });
    let newest = libraries
        .max()
        .expect("cargo builds the library before its tests");
    newest.1
}

fn is_library(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("libprefork_macros-") && name.ends_with(std::env::consts::DLL_SUFFIX)
}
