//! Checks builder and environment against the texts of each kind.
//!
//! `prefork-macros/src/tests/verdicts.rs` checks the attribute against the same texts.

use prefork_options::{Prefix, TABLE};

use crate::Prefork;
use crate::config::{Environment, OptionLayers};

macro_rules! setters {
    (
        values { $( $(#[doc = $doc:expr])* $name:ident : $kind:ty { $($row:tt)* } )* }
        code { $($code:tt)* }
    ) => {
        fn by_builder(name: &str, text: &str) -> OptionLayers {
            let prefork = Prefork::new();
            let prefork = match name {
                $(stringify!($name) => prefork.$name(text),)*
                _ => panic!("no setter for {name}"),
            };
            prefork.options
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
fn builder_and_environment_give_the_results_of_each_kind() {
    for row in TABLE {
        for (text, verdict) in row.cases() {
            let options = by_builder(row.name, text);
            assert_verdict(text, verdict, row.name, &options);
            let Some(variable) = row.env else { continue };
            let options = by_environment(row.name, text);
            // An empty variable counts as unset; an empty text in the builder may be an error.
            let verdict = if text.is_empty() { "" } else { verdict };
            assert_verdict(text, verdict, variable, &options);
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
fn a_text_is_a_list_and_an_element_of_an_array_is_one_address() {
    let prefork = Prefork::new().listen("http=:80,:81");
    let list = prefork.options.listen.value().cloned();
    let options = by_environment("listen", "http=:80,:81");
    assert_eq!(list.as_ref(), options.listen.value());
    let prefork = prefork.listen([":80,:81".to_owned()]);
    let error = prefork.options.errors[0].to_string();
    assert!(
        error.starts_with("listen: ':80,:81' contains a comma"),
        "{error}"
    );
}
