//! The attribute expands any tokens without a panic: to valid code, or to errors at their spans.

use proptest::prelude::*;

use super::judge::judge;

/// Tokens that get far into the parsers.
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

proptest! {
    #[test]
    fn any_tokens_expand(arguments in arguments(), item in functions()) {
        if let Err(complaint) = judge(&arguments, &item) {
            prop_assert!(false, "{complaint}");
        }
    }
}
