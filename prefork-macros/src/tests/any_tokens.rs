//! Whatever stands in the attribute and below it, an answer comes: valid code, or errors at their places.

use proc_macro2::{TokenStream, TokenTree};
use proptest::prelude::*;

use crate::debug::render;
use crate::main_tokens;

/// Words that lead deep into the parsers.
const WORDS: &[&str] = &[
    "workers",
    "listen",
    "recover_threshold",
    "shutdown_grace_period",
    "crate",
    "runtime",
    "worker",
    "=",
    "==",
    ",",
    "4",
    "-1",
    "5s",
    "0.5",
    "\"auto\"",
    "\"5s\"",
    "\"a=:80\"",
    "\"x",
    "'a'",
    "b\"x\"",
    "true",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    "<",
    ">",
    "::",
    "|",
    "&",
    "!",
    "#",
    "?",
    "..",
    "...",
    "->",
    ":",
    ";",
    "fn",
    "main",
    "async",
    "unsafe",
    "const",
    "extern",
    "\"C\"",
    "pub",
    "self",
    "&self",
    "mut",
    "_",
    "T",
    "impl",
    "where",
    "dyn",
    "for",
    "if",
    "let",
    "match",
    "prefork::main",
    "#[prefork::main]",
    "#[tokio::main]",
    "#[cfg(a)]",
    "#[doc = \"d\"]",
    "#![a]",
    "/// d\n",
    "r#fn",
    "'a",
];

fn words() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(WORDS), 0..24).prop_map(|words| words.join(" "))
}

fn arguments() -> impl Strategy<Value = String> {
    let pair = (prop::sample::select(&WORDS[..7]), words())
        .prop_map(|(key, value)| format!("{key} = {value}"));
    prop_oneof![
        words(),
        prop::collection::vec(pair, 0..5).prop_map(|pairs| pairs.join(", ")),
        any::<String>()
    ]
}

fn functions() -> impl Strategy<Value = String> {
    let near = (words(), words(), words(), words()).prop_map(|(before, inputs, output, body)| {
        format!("{before} fn main({inputs}) {output} {{ {body} }}")
    });
    prop_oneof![
        Just("async fn main(a: A) -> io::Result<()> { Ok(()) }".to_owned()),
        near,
        words(),
        any::<String>()
    ]
}

/// Whether each error of an expansion stands in a `compile_error!` with a text.
fn has_error(tokens: TokenStream) -> bool {
    let tokens: Vec<_> = tokens.into_iter().collect();
    tokens
        .iter()
        .any(|token| matches!(token, TokenTree::Ident(ident) if ident == "compile_error"))
}

proptest! {
    #[test]
    fn whatever_is_written_gets_an_answer(arguments in arguments(), item in functions()) {
        let (Ok(arguments), Ok(item)) = (arguments.parse::<TokenStream>(), item.parse::<TokenStream>()) else {
            // The compiler has no tokens either, and never asks us.
            return Ok(());
        };
        let expansion = main_tokens(arguments, &item);
        // Spaces may say that two marks are one operator, but only the parser would ask for that.
        let plain = |tokens: &TokenStream| tokens.to_string().replace(' ', "");
        let read = render(&expansion).parse::<TokenStream>();
        prop_assert_eq!(read.ok().as_ref().map(plain), Some(plain(&expansion)));
        if has_error(expansion.clone()) {
            return Ok(());
        }
        // The body was not looked into, so a body that is no Rust stays what it is; everything around it must be Rust.
        let body_is_rust = syn::parse2::<syn::ItemFn>(item).is_ok();
        if body_is_rust {
            prop_assert!(syn::parse2::<syn::ItemFn>(expansion.clone()).is_ok(), "{expansion}");
        }
    }
}
