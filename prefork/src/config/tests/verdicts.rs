//! The builder's and the environment's side of the table that holds all three doors together. The attribute's side is in
//! `prefork-macros/src/tests/verdicts.rs`.

use prefork_options::{Kind, Prefix, TABLE};

use crate::Prefork;
use crate::config::{Environment, Options};

const VERDICTS: &str = include_str!("../../../options/tests/verdicts.txt");

macro_rules! setters {
    (
        values { $( $(#[doc = $doc:expr])* $name:ident : $kind:ident { $($row:tt)* } )* }
        code { $($code:tt)* }
    ) => {
        fn by_builder(name: &str, text: &str) -> Options {
            let mut prefork = Prefork::new();
            match name {
                $(stringify!($name) => prefork.$name(text),)*
                _ => panic!("no setter for {name}"),
            };
            prefork.options_mut().clone()
        }
    };
}

prefork_options::options! { setters }

fn by_environment(name: &str, text: &str) -> Options {
    let prefix = Prefix::default();
    let pair = (prefix.variable(name).into(), text.into());
    let mut options = Options::default();
    options.overlay(&Environment::read(prefix, [pair]));
    options
}

#[test]
fn builder_and_environment_give_the_verdicts_of_the_table() {
    let lines = VERDICTS
        .lines()
        .filter(|line| line.contains('|') && !line.starts_with('#'));
    for line in lines {
        let [kind, text, verdict] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("not three columns: {line}");
        };
        for row in TABLE {
            if format!("{:?}", row.kind).to_lowercase() != kind {
                continue;
            }
            let said = by_builder(row.name, text);
            assert_verdict(line, verdict, row.name, &said);
            let Some(variable) = row.env else { continue };
            let said = by_environment(row.name, text);
            // An empty variable counts as unset, whatever the text means to the builder.
            let verdict = if text.is_empty() { "" } else { verdict };
            assert_verdict(line, verdict, variable, &said);
        }
    }
}

fn assert_verdict(line: &str, verdict: &str, place: &str, options: &Options) {
    let said: Vec<String> = options.mistakes.iter().map(ToString::to_string).collect();
    match (verdict, said.as_slice()) {
        ("", []) => {}
        (verdict, [said]) if !verdict.is_empty() => {
            let expected = format!("{place}: {}", verdict.trim_end_matches('…'));
            let is_cut = verdict.ends_with('…');
            assert!(
                *said == expected || is_cut && said.starts_with(&expected),
                "{line}: {said}"
            );
        }
        (_, said) => panic!("{line}: {said:?}"),
    }
}

#[test]
fn every_kind_has_good_and_bad_texts() {
    for row in TABLE.iter().filter(|row| row.kind != Kind::Code) {
        let kind = format!("{:?} |", row.kind).to_lowercase();
        let of_kind = || VERDICTS.lines().filter(|line| line.starts_with(&kind));
        assert!(of_kind().any(|line| line.ends_with('|')), "no good {kind}");
        assert!(of_kind().any(|line| !line.ends_with('|')), "no bad {kind}");
    }
}

#[test]
fn a_text_is_a_list_and_an_element_of_an_array_is_one_address() {
    let mut prefork = Prefork::new();
    prefork.listen("http=:80,:81");
    let list = prefork.options_mut().listen.value().cloned();
    let said = by_environment("listen", "http=:80,:81");
    assert_eq!(list.as_ref(), said.listen.value());
    prefork.listen([":80,:81".to_owned()]);
    let mistake = prefork.options_mut().mistakes[0].to_string();
    assert!(
        mistake.starts_with("listen: ':80,:81' has a comma"),
        "{mistake}"
    );
}
