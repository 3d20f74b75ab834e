//! Every text that the attribute can answer with is seen in a case of the UI tests.
//!
//! The texts are those of the sources: each literal of several words, here and in the grammars. What stands in braces in
//! one may be anything in the case.

use std::fs;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::LitStr;

/// Texts that no attribute can bring about, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "// `#[prefork::main]` at {file}:{line} expands to\n{text}\n",
        "no error: who asks for it gets it, see tests/debug.rs",
    ),
    ("another literal", "the parser knows no other today"),
    (
        "no listener is configured",
        "without `listen` the operator names the listeners",
    ),
    ("is not a port, {PORTS}", "said of the variable PORT"),
    (
        "{} is a text, expected code",
        "a literal is refused before the grammar is asked",
    ),
];

#[test]
fn every_text_has_a_case() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = package.parent().expect("it stands in the workspace");
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
    assert!(texts.len() > 50, "they are found: {texts:?}");
    let missing: Vec<_> = texts
        .iter()
        .filter(|text| ELSEWHERE.iter().all(|(known, _)| known != text))
        .filter(|text| !cases.lines().any(|line| shows(line, text)))
        .collect();
    assert!(
        missing.is_empty(),
        "no file in tests/ui/fail shows {missing:#?}"
    );

    for (text, _) in ELSEWHERE {
        assert!(
            texts.iter().any(|other| other == text),
            "'{text}' is no text any more"
        );
    }
}

/// The contents of the files of a folder, not of those below.
fn files(folder: &Path, extension: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder stands in the repository");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| fs::read_to_string(path).expect("it is text"))
        .collect()
}

/// The literals of several words in a source, without its docs, its tests and the table's rows.
fn texts_of(source: &str) -> Vec<String> {
    let code = source
        .split("#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or_default();
    let mut texts = Vec::new();
    collect(code.parse().expect("it is Rust"), &mut texts);
    texts
}

fn collect(tokens: TokenStream, texts: &mut Vec<String>) {
    let mut is_of_no_interest = false;
    for token in tokens {
        match token {
            TokenTree::Group(_) if is_of_no_interest => is_of_no_interest = false,
            TokenTree::Group(group) => collect(group.stream(), texts),
            TokenTree::Ident(word) if word == "macro_rules" => is_of_no_interest = true,
            // The attributes of an item, docs among them.
            TokenTree::Punct(mark) if mark.as_char() == '#' => is_of_no_interest = true,
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
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

/// Whether a line holds the pieces of a text in their order.
fn shows(line: &str, text: &str) -> bool {
    let mut rest = line;
    text.split('{').enumerate().all(|(place, piece)| {
        let piece = match piece.split_once('}') {
            Some((_, behind)) if place > 0 => behind,
            _ => piece,
        };
        match rest.find(piece) {
            Some(start) => {
                rest = &rest[start + piece.len()..];
                true
            }
            None => false,
        }
    })
}
