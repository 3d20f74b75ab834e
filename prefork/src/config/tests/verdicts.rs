//! Checks builder and environment against a common table of texts.
//!
//! `prefork-macros/src/tests/verdicts.rs` checks the attribute against the same table.

use prefork_options::{Kind, Prefix, TABLE};

use crate::Prefork;
use crate::config::{Environment, OptionLayers};

const VERDICTS: &str = include_str!("../../../options/tests/verdicts.txt");

macro_rules! setters {
    (
        values { $( $(#[doc = $doc:expr])* $name:ident : $kind:ident { $($row:tt)* } )* }
        code { $($code:tt)* }
    ) => {
        fn by_builder(name: &str, text: &str) -> OptionLayers {
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

fn by_environment(name: &str, text: &str) -> OptionLayers {
    let prefix = Prefix::default();
    let pair = (prefix.variable(name).into(), text.into());
    let mut options = OptionLayers::default();
    options.apply_env(&Environment::read(prefix, [pair]));
    options
}

#[test]
fn builder_and_environment_give_the_results_of_the_table() {
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
            let options = by_builder(row.name, text);
            assert_verdict(line, verdict, row.name, &options);
            let Some(variable) = row.env else { continue };
            let options = by_environment(row.name, text);
            // An empty variable counts as unset; an empty text in the builder may be an error.
            let verdict = if text.is_empty() { "" } else { verdict };
            assert_verdict(line, verdict, variable, &options);
        }
    }
}

fn assert_verdict(line: &str, verdict: &str, label: &str, options: &OptionLayers) {
    let errors: Vec<String> = options.errors.iter().map(ToString::to_string).collect();
    match (verdict, errors.as_slice()) {
        ("", []) => {}
        (verdict, [error]) if !verdict.is_empty() => {
            let expected = format!("{label}: {}", verdict.trim_end_matches('…'));
            let is_cut = verdict.ends_with('…');
            assert!(
                *error == expected || is_cut && error.starts_with(&expected),
                "{line}: {error}"
            );
        }
        (_, errors) => panic!("{line}: {errors:?}"),
    }
}

#[test]
fn every_kind_has_valid_and_invalid_texts() {
    for row in TABLE.iter().filter(|row| row.kind != Kind::Code) {
        let kind = format!("{:?} |", row.kind).to_lowercase();
        let of_kind = || VERDICTS.lines().filter(|line| line.starts_with(&kind));
        assert!(of_kind().any(|line| line.ends_with('|')), "no valid {kind}");
        assert!(
            of_kind().any(|line| !line.ends_with('|')),
            "no invalid {kind}"
        );
    }
}

#[test]
fn a_text_is_a_list_and_an_element_of_an_array_is_one_address() {
    let mut prefork = Prefork::new();
    prefork.listen("http=:80,:81");
    let list = prefork.options_mut().listen.value().cloned();
    let options = by_environment("listen", "http=:80,:81");
    assert_eq!(list.as_ref(), options.listen.value());
    prefork.listen([":80,:81".to_owned()]);
    let error = prefork.options_mut().errors[0].to_string();
    assert!(
        error.starts_with("listen: ':80,:81' contains a comma"),
        "{error}"
    );
}
