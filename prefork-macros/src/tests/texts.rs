//! Each message of the attribute occurs in a case of the UI tests.
//!
//! The messages are the string literals of several words in this crate and in the grammars. Text in
//! braces may be any text in the case.

use std::fs;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::LitStr;

/// Texts that no case can show, and why.
const WITHOUT_CASE: &[(&str, &str)] = &[
    (
        "// `#[prefork::main]` at {file}:{line} expands to\n{text}\n",
        "no error: printed on request, see tests/debug.rs",
    ),
    ("another literal", "the parser has no other literals today"),
    (
        "no listener is configured",
        "without `listen` in the source, the environment sets the listeners",
    ),
    (
        "one argument takes a listener; {existing}",
        "there is no listener then, as above",
    ),
    ("is not a port, {PORTS}", "an error of the variable PORT"),
    (
        "{} is text, expected {FUNCTION}",
        "a literal is rejected before the grammar is called",
    ),
];

#[test]
fn every_text_has_a_case() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = package.parent().expect("a folder of the workspace");
    let cases = files(&workspace.join("tests/ui/fail"), "stderr").join("\n");
    let sources = [
        files(&package.join("src"), "rs"),
        files(&workspace.join("prefork/options/src"), "rs"),
    ];

    let texts: Vec<_> = sources
        .iter()
        .flatten()
        .flat_map(|source| texts_of(source))
        .collect();
    assert!(texts.len() > 50, "too few texts found: {texts:?}");
    let missing: Vec<_> = texts
        .iter()
        .filter(|text| WITHOUT_CASE.iter().all(|(known, _)| known != text))
        .filter(|text| !cases.lines().any(|line| shows(line, text)))
        .collect();
    assert!(
        missing.is_empty(),
        "no file in tests/ui/fail shows {missing:#?}"
    );

    for (text, _) in WITHOUT_CASE {
        assert!(
            texts.iter().any(|other| other == text),
            "'{text}' no longer exists"
        );
    }
}

/// The contents of the files in a folder, without its subfolders.
fn files(folder: &Path, extension: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder of the repository");
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| fs::read_to_string(path).expect("a text file"))
        .collect()
}

/// The string literals of several words in a source, without docs, tests, macro definitions and the
/// texts of a kind for tests.
fn texts_of(source: &str) -> Vec<String> {
    let code = source
        .split("#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or_default();
    let mut texts = Vec::new();
    collect(code.parse().expect("Rust"), &mut texts);
    texts
}

fn collect(tokens: TokenStream, texts: &mut Vec<String>) {
    let mut is_skipped = false;
    let mut is_test_text = false;
    for token in tokens {
        match token {
            TokenTree::Group(_) if is_skipped => is_skipped = false,
            TokenTree::Group(group) => collect(group.stream(), texts),
            TokenTree::Ident(word) if word == "macro_rules" => is_skipped = true,
            TokenTree::Ident(word) if word == "TEXTS" => is_test_text = true,
            // Attributes, including docs.
            TokenTree::Punct(mark) if mark.as_char() == '#' => is_skipped = true,
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            TokenTree::Literal(_) if is_test_text => is_test_text = false,
            TokenTree::Literal(literal) => {
                if let Ok(text) = syn::parse_str::<LitStr>(&literal.to_string())
                    && text.value().trim().contains(' ')
                {
                    texts.push(text.value());
                }
            }
        }
    }
}

/// Whether a line contains the parts of a text between its braces, in their order.
fn shows(line: &str, text: &str) -> bool {
    let mut rest = line;
    text.split('{').enumerate().all(|(index, part)| {
        let part = match part.split_once('}') {
            Some((_, after)) if index > 0 => after,
            _ => part,
        };
        match rest.find(part) {
            Some(start) => {
                rest = &rest[start + part.len()..];
                true
            }
            None => false,
        }
    })
}
