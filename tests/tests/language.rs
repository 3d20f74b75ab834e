//! The language of the repository: the words of its field in names, plain English in texts.
//!
//! Names and phrases of the lists below had a private meaning here, which readers had to look up.
//! CONTRIBUTING.md has the glossary.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};

/// Words that no name may contain, and what to use.
const NAMES: [(&str, &str); 39] = [
    ("astray", "unrelated"),
    ("bell", "waker"),
    ("condemned", "must kill"),
    ("door", "source, entry point"),
    ("ear", "receiver, socket"),
    ("ears", "accepting"),
    ("elsewhere", "unsupported"),
    ("farewell", "the hook, the frame"),
    ("floor", "baseline"),
    ("guest", "in-process"),
    ("handed", "the source, the bundle"),
    ("hear", "receive, read"),
    ("hears", "receives, reads"),
    ("house", "module"),
    ("intake", "tracker"),
    ("keeper", "store"),
    ("leaver", "draining"),
    ("lookalike", "unknown variable"),
    ("nobody", "the component"),
    ("obituary", "exit line"),
    ("ours", "of the crate, of the master"),
    ("parcel", "bundle"),
    ("place", "address, index, label, span, location"),
    ("places", "address, index, label, span, location"),
    ("roster", "children"),
    ("said", "set, sent, logged"),
    ("say", "set, send, log"),
    ("says", "set, send, log"),
    ("seat", "listener"),
    ("seats", "listeners"),
    ("somebody", "the component"),
    ("stranger", "unrelated"),
    ("strangers", "orphans"),
    ("tells", "reports, prints"),
    ("told", "set, sent, reported"),
    ("unsaid", "default"),
    ("untold", "not yet asked"),
    ("well", "healthy"),
    ("whoever", "the component"),
];

/// Names of other crates.
const FOREIGN_NAMES: [&str; 4] = [
    "block_in_place",
    "floor_char_boundary",
    "open_in_place",
    "seal_in_place_separate_tag",
];

/// Phrases that no text may contain, and what to use.
const PHRASES: [(&str, &str); 28] = [
    ("at the age of", "after"),
    ("behaviour", "behavior"),
    ("colour", "color"),
    ("goes on", "continues"),
    ("in vain", "what does not happen"),
    ("initialis", "initializ"),
    ("is said", "is set"),
    ("are said", "are set"),
    ("is told", "is reported, gets"),
    ("are told", "are reported, get"),
    ("it says", "it contains, it sends"),
    ("is let be", "is ignored"),
    ("are let be", "are ignored"),
    ("mended", "fixed"),
    ("nobody", "the component as the subject"),
    ("of ours", "of the crate, of the master"),
    ("none of ours", "no worker"),
    ("our listener", "`Listener`"),
    ("ours to", "the component as the subject"),
    ("somebody", "the component as the subject"),
    ("the like ", "a list"),
    ("the like.", "a list"),
    ("unasked", "unexpectedly"),
    ("unsaid", "not set"),
    ("way out", "help"),
    ("whoever", "the component as the subject"),
    ("whom", "the component as the subject"),
    ("without a word", "without a log line"),
];

/// What the repository publishes: its crates and its documents.
const SOURCES: [&str; 5] = [
    "prefork/src",
    "prefork/options/src",
    "prefork-macros/src",
    "prefork-testkit/src",
    "examples",
];

/// What the repository does not publish: only the names of its sources are checked.
const UNPUBLISHED: [&str; 2] = ["tests", "prefork/bench"];

const DOCUMENTS: [&str; 5] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "docs",
    "prefork/src/supervisor/TABLE.md",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files below a path with this extension.
fn files(path: &Path, extension: &str) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let paths = entries.map(|entry| entry.expect("a readable directory").path());
    paths
        .filter(|path| !path.ends_with("target"))
        .filter(|path| path.is_dir() || path.extension().is_some_and(|found| found == extension))
        .flat_map(|path| files(&path, extension))
        .collect()
}

fn sources(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let paths = folders
        .iter()
        .flat_map(|path| files(&root().join(path), "rs"));
    paths.map(|path| read(&path)).collect()
}

fn read(path: &Path) -> (PathBuf, String) {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let name = path.strip_prefix(root()).unwrap_or(path);
    (name.to_owned(), text)
}

/// The identifiers of a source, in lower case and split into words.
fn words_of_names(tokens: TokenStream, words: &mut Vec<(String, String)>) {
    for token in tokens {
        match token {
            TokenTree::Ident(name) => {
                let name = name.to_string();
                words.extend(split(&name).map(|word| (word, name.clone())));
            }
            TokenTree::Group(group) => words_of_names(group.stream(), words),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn split(name: &str) -> impl Iterator<Item = String> {
    let mut spaced = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() {
            spaced.push('_');
        }
        spaced.extend(letter.to_lowercase());
    }
    let words: Vec<String> = spaced.split('_').map(str::to_owned).collect();
    words.into_iter()
}

#[test]
fn names_are_those_of_the_field() {
    let mut found = Vec::new();
    for (path, text) in sources(&[&SOURCES[..], &UNPUBLISHED].concat()) {
        let tokens = text
            .parse()
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut words = Vec::new();
        words_of_names(tokens, &mut words);
        words.retain(|(_, name)| !FOREIGN_NAMES.contains(&name.as_str()));
        for (word, name) in words {
            if let Some((_, instead)) = NAMES.iter().find(|(banned, _)| *banned == word) {
                found.push(format!("{}: `{name}` (use: {instead})", path.display()));
            }
        }
    }
    found.sort();
    found.dedup();
    assert!(
        found.is_empty(),
        "{} names:\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn texts_are_plain_english() {
    let documents = DOCUMENTS
        .iter()
        .flat_map(|path| files(&root().join(path), "md"));
    let documents = documents.map(|path| read(&path));
    let mut found = Vec::new();
    for (path, text) in sources(&SOURCES).into_iter().chain(documents) {
        for (index, line) in text.lines().enumerate() {
            let lower = line.to_lowercase();
            for (phrase, instead) in PHRASES {
                if contains_words(&lower, phrase) {
                    let line = index + 1;
                    found.push(format!(
                        "{}:{line}: '{phrase}' (use: {instead})",
                        path.display()
                    ));
                }
            }
        }
    }
    assert!(
        found.is_empty(),
        "{} lines:\n{}",
        found.len(),
        found.join("\n")
    );
}

/// Whether the text contains the phrase at the beginning of a word.
fn contains_words(text: &str, phrase: &str) -> bool {
    text.match_indices(phrase).any(|(index, _)| {
        let before = text[..index].chars().next_back();
        before.is_none_or(|letter| !letter.is_alphanumeric())
    })
}
