//! The imports between the files of a crate, and the circles among them.
//!
//! A file imports another one if a path in it, in a `use` or elsewhere, leads to an item that the
//! other file defines. Re-exports are followed to the file that defines the item. Code for tests
//! (`#[cfg(test)]`) does not count. Calls of methods need no path, so they do not count either.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The modules of a crate, by their path from its root: `channel::message`.
pub(crate) struct Crate {
    modules: BTreeMap<Vec<String>, Module>,
}

#[derive(Default)]
struct Module {
    /// The path of the file, relative to the root of the crate.
    file: String,
    /// The names that a `use` brings into the module, and the paths that they stand for.
    names: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    /// The paths in the module. A re-export is none.
    paths: BTreeSet<Vec<String>>,
}

impl Crate {
    /// Reads the files of the crate whose `lib.rs` is in this folder.
    pub(crate) fn read(src: &Path) -> Self {
        let mut this = Self {
            modules: BTreeMap::new(),
        };
        this.read_file(src, "lib.rs", Vec::new());
        this
    }

    fn read_file(&mut self, src: &Path, file: &str, module: Vec<String>) {
        let path = src.join(file);
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let tokens = text
            .parse()
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.read_module(src, file, module, tokens);
    }

    fn read_module(&mut self, src: &Path, file: &str, module: Vec<String>, tokens: TokenStream) {
        let mut found = Module {
            file: file.to_owned(),
            ..Module::default()
        };
        let tokens = without_tests(tokens);
        let mut at = 0;
        while at < tokens.len() {
            let next = |n: usize| tokens.get(at + n).map(ToString::to_string);
            let word = next(0).unwrap_or_default();
            let ends_with_semicolon = next(2).as_deref() == Some(";");
            let body = match tokens.get(at + 2) {
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    Some(group.stream())
                }
                _ => None,
            };
            if word == "mod" && (ends_with_semicolon || body.is_some()) {
                let child = [module.clone(), vec![next(1).expect("a name")]].concat();
                if let Some(body) = body {
                    self.read_module(src, file, child, body);
                } else {
                    let file = child_file(src, file, &child, attribute_path(&tokens[..at]));
                    self.read_file(src, &file, child);
                }
                at += 3;
            } else if word == "use" {
                let end = tokens[at..].iter().position(|token| is(token, ';'));
                let end = at + end.expect("a use ends");
                let is_export = at > 0 && is_visibility(&tokens[..at]);
                found.read_use(&tokens[at + 1..end], &[], is_export);
                at = end;
            } else {
                at += found.read_path(&tokens[at..]);
            }
        }
        // Two files can be one module, each under its own condition. No path leads to the second one.
        let is_alternative = self.modules.contains_key(&module);
        let key = if is_alternative {
            vec![file.to_owned()]
        } else {
            module
        };
        self.modules.insert(key, found);
    }

    /// The imports of each file: the other file, and one path that leads there.
    pub(crate) fn imports(&self) -> BTreeMap<&str, BTreeMap<&str, String>> {
        let mut imports: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
        for (module, found) in &self.modules {
            for path in &found.paths {
                if let Some(file) = self.file_of(module, path, 0)
                    && file != found.file
                {
                    let of_file = imports.entry(&found.file).or_default();
                    of_file.entry(file).or_insert_with(|| path.join("::"));
                }
            }
        }
        imports
    }

    /// The file that defines what this path of a module leads to. `None` for another crate, and for
    /// a name that the module itself defines.
    fn file_of(&self, module: &[String], path: &[String], depth: usize) -> Option<&str> {
        /// Longer chains of re-exports are circles of globs.
        const MAX_DEPTH: usize = 8;
        let (first, rest) = path.split_first()?;
        if depth > MAX_DEPTH {
            return None;
        }
        match first.as_str() {
            "crate" => self.file_below(&[], rest, depth),
            "self" => self.file_below(module, rest, depth),
            "super" => self.file_below(module.split_last()?.1, rest, depth),
            _ => {
                let child = [module, &path[..1]].concat();
                let here = self.modules.get(module)?;
                if self.modules.contains_key(&child) {
                    self.file_below(&child, rest, depth)
                } else if here.names.contains_key(first) {
                    self.file_below(module, path, depth)
                } else {
                    None
                }
            }
        }
    }

    /// The file that defines the item at this path below a module.
    fn file_below(&self, module: &[String], path: &[String], depth: usize) -> Option<&str> {
        let here = self.modules.get(module)?;
        let Some((first, rest)) = path.split_first() else {
            return Some(&here.file);
        };
        if first == "super" {
            return self.file_below(module.split_last()?.1, rest, depth);
        }
        let child = [module, &path[..1]].concat();
        if self.modules.contains_key(&child) {
            return self.file_below(&child, rest, depth);
        }
        if let Some(target) = here.names.get(first) {
            let target = [target, rest].concat();
            // A name of another crate is no import between files.
            return self.file_of(module, &target, depth + 1);
        }
        let mut globs = here.globs.iter().filter_map(|glob| {
            let target = [glob, path].concat();
            self.file_of(module, &target, depth + 1)
        });
        globs.next_back().or(Some(&here.file))
    }

    /// The circles of imports. A circle is described by one way through its files.
    ///
    /// The imports of some files are left out.
    pub(crate) fn circles(&self) -> Vec<String> {
        let imports = self.imports();
        let mut circles = Vec::new();
        let mut known = BTreeSet::new();
        for &start in imports.keys() {
            let Some(way) = way_back(&imports, start) else {
                continue;
            };
            // Each circle is reported once, from its first file.
            if way.iter().any(|file| !known.contains(file)) {
                let steps = way.iter().zip(way.iter().skip(1).chain([&start]));
                let text = steps.map(|(&file, &next)| {
                    format!("  {file} imports {next}: {}\n", imports[file][next])
                });
                circles.push(text.collect());
            }
            known.extend(way);
        }
        circles
    }
}

/// The shortest way from a file over its imports back to itself.
fn way_back<'a>(
    imports: &BTreeMap<&'a str, BTreeMap<&'a str, String>>,
    start: &'a str,
) -> Option<Vec<&'a str>> {
    let mut ways = vec![vec![start]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            let last = way.last().expect("a way has a start");
            for &next in imports.get(last).into_iter().flat_map(BTreeMap::keys) {
                if next == start {
                    return Some(way);
                }
                if seen.insert(next) {
                    longer.push([way.clone(), vec![next]].concat());
                }
            }
        }
        ways = longer;
    }
    None
}

impl Module {
    /// Reads the tree of a `use`, below a prefix.
    fn read_use(&mut self, tree: &[TokenTree], prefix: &[String], is_export: bool) {
        let mut path = prefix.to_vec();
        let mut alias = None;
        let mut tokens = tree.iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(word) if word == "as" => {
                    alias = tokens.next().map(ToString::to_string);
                }
                TokenTree::Ident(word) if word == "self" && !path.is_empty() => {}
                TokenTree::Ident(word) => path.push(word.to_string()),
                TokenTree::Group(group) => {
                    let inner: Vec<_> = group.stream().into_iter().collect();
                    for tree in inner.split(|token| is(token, ',')) {
                        if !tree.is_empty() {
                            self.read_use(tree, &path, is_export);
                        }
                    }
                    return;
                }
                token if is(token, '*') => {
                    self.globs.push(path.clone());
                    if !is_export {
                        self.paths.insert(path);
                    }
                    return;
                }
                _ => {}
            }
        }
        let name = alias.unwrap_or_else(|| path.last().expect("a use has a name").clone());
        if !is_export {
            self.paths.insert(path.clone());
        }
        self.names.insert(name, path);
    }

    /// Reads a path at the beginning of the tokens, else one token. Returns the number of tokens.
    fn read_path(&mut self, tokens: &[TokenTree]) -> usize {
        match &tokens[0] {
            TokenTree::Group(group) => {
                let inner = without_tests(group.stream());
                let mut at = 0;
                while at < inner.len() {
                    at += self.read_inner(&inner[at..]);
                }
                1
            }
            // The scope of a name imports nothing.
            TokenTree::Ident(word) if word == "pub" && is_scope(tokens.get(1)) => 2,
            TokenTree::Ident(first) => {
                let mut path = vec![first.to_string()];
                let mut at = 1;
                while let [a, b, TokenTree::Ident(word), ..] = &tokens[at..]
                    && is(a, ':')
                    && is(b, ':')
                {
                    path.push(word.to_string());
                    at += 3;
                }
                if path.len() > 1 {
                    self.paths.insert(path);
                }
                at
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => 1,
        }
    }

    /// Like `read_path`, inside of a function or a macro, where a `use` can stand as well.
    fn read_inner(&mut self, tokens: &[TokenTree]) -> usize {
        let is_use = matches!(&tokens[0], TokenTree::Ident(word) if word == "use");
        match tokens.iter().position(|token| is(token, ';')) {
            Some(end) if is_use => {
                let mut inner = Self::default();
                inner.read_use(&tokens[1..end], &[], false);
                self.paths.append(&mut inner.paths);
                end
            }
            _ => self.read_path(tokens),
        }
    }
}

fn is(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

/// Whether this is the scope of a visibility: `(in path)`.
fn is_scope(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Group(group)) if group.to_string().starts_with("(in "))
}

/// Whether the tokens end with `pub` or `pub(…)`.
fn is_visibility(before: &[TokenTree]) -> bool {
    match before {
        [.., TokenTree::Ident(word)] | [.., TokenTree::Ident(word), TokenTree::Group(_)] => {
            word == "pub"
        }
        _ => false,
    }
}

/// The file of a module that another file declares.
fn child_file(src: &Path, parent: &str, child: &[String], path: Option<String>) -> String {
    let folder = parent.rsplit_once('/').map_or("", |(folder, _)| folder);
    let below = |name: &str| match folder {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    };
    if let Some(path) = path {
        return below(&path);
    }
    let module = child.join("/");
    let candidates = [format!("{module}.rs"), format!("{module}/mod.rs")];
    let found = candidates.iter().find(|file| src.join(file).exists());
    found
        .unwrap_or_else(|| panic!("{parent}: no file for module {module}"))
        .clone()
}

/// The value of `#[path = "…"]` right before an item.
fn attribute_path(before: &[TokenTree]) -> Option<String> {
    let Some([hash, TokenTree::Group(attribute)]) = before.last_chunk::<2>() else {
        return None;
    };
    let text = attribute.stream().to_string();
    let path = text.strip_prefix("path = ").filter(|_| is(hash, '#'))?;
    Some(path.trim_matches('"').to_owned())
}

/// Removes the items below `#[cfg(test)]`.
fn without_tests(tokens: TokenStream) -> Vec<TokenTree> {
    let mut kept = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let Some(TokenTree::Group(attribute)) = tokens.peek() else {
            kept.push(token);
            continue;
        };
        let text = attribute.stream().to_string().replace(' ', "");
        let is_for_tests = text == "cfg(test)" || text.starts_with("cfg(all(test,");
        if !is(&token, '#') || !is_for_tests {
            kept.push(token);
            continue;
        }
        // The item ends with a semicolon or with the braces of its body.
        for token in tokens.by_ref() {
            let is_body = matches!(&token, TokenTree::Group(group)
                if group.delimiter() == Delimiter::Brace);
            if is(&token, ';') || is_body {
                break;
            }
        }
    }
    kept
}
