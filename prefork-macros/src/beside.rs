//! The attributes beside ours that cannot work with it.
//!
//! It knows them by their paths and by what they leave behind; whether a path leads where it seems to is known to the
//! compiler alone. All other attributes are welcome.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, GenericArgument, Path, PathArguments, PathSegment, ReturnType, Type};

use crate::check::{Config, Setting};
use crate::errors::Errors;
use crate::expand::CALL;
use crate::item::Item;

const TWICE: &str =
    "`#[prefork::main]` stands here twice, expected it once, with all options in it";

const LAUNCH: &str = "`#[rocket::launch]` makes a `main` of its own, which starts no workers; expected \
                      `#[rocket::main] async fn main()` with `rocket.launch().await` in it";

/// Reports the attributes above and below that make something else of the function.
pub(crate) fn check(item: &Item, config: &Config, errors: &mut Errors) {
    for attribute in &item.foreign {
        if is_ours(attribute, config.krate.as_ref()) {
            errors.at(attribute, TWICE);
        } else if is_launch(attribute.path()) {
            errors.at(attribute, LAUNCH);
        }
    }
    check_threads(item, config, errors);
    // Under another name, `use prefork::main as serve`, it is known by what the one above has made.
    if mentions(item.body.stream(), CALL) {
        errors.here(TWICE);
    }
    // Standing above, it has expanded already, and has written down what `_` stands for.
    let is_below = item.foreign.iter().any(|other| is_launch(other.path()));
    if let Some(rocket) = returned_rocket(&item.signature.output).filter(|_| !is_below) {
        errors.at(rocket, LAUNCH);
    }
}

/// The threads are for a runtime of ours; whoever brings another one says there how many it has.
fn check_threads(item: &Item, config: &Config, errors: &mut Errors) {
    let named = |setting: &&Setting| setting.name == "runtime_threads";
    let Some(threads) = config.options.iter().find(named) else {
        return;
    };
    let other = item.foreign.iter().find(|other| is_runtime(other.path()));
    if !item.is_async() {
        let text = "`runtime_threads` is for an `async fn`, and this function is none";
        errors.at(&threads.name, text);
    } else if config.runtime.is_some() {
        let text = "`runtime_threads` is for prefork's own runtime, and `runtime` names another";
        errors.at(&threads.name, text);
    } else if let Some(other) = other {
        let path = words(other.path()).join("::");
        let how = match path.as_str() {
            "tokio::main" => " (`worker_threads = 4`)",
            _ => "",
        };
        let text = format!(
            "`runtime_threads` is for prefork's own runtime, and `#[{path}]` brings its own: say it there{how}"
        );
        errors.at(&threads.name, text);
    }
}

/// `tokio::main`, `actix_web::main`, whoever calls it so.
fn is_runtime(path: &Path) -> bool {
    path.segments
        .last()
        .is_some_and(|last| last.ident == "main")
}

/// A second attribute of ours would make a master of each worker.
fn is_ours(attribute: &Attribute, krate: Option<&Path>) -> bool {
    let words = words(attribute.path());
    let Some((last, place)) = words.split_last() else {
        return false;
    };
    let named = krate.map(self::words);
    last == "main" && (place == ["prefork"] || named.as_deref() == Some(place))
}

/// With its return type `_` it would be refused anyway, in words that lead nowhere.
pub(crate) fn is_launch(path: &Path) -> bool {
    matches!(
        words(path).iter().map(String::as_str).collect::<Vec<_>>()[..],
        ["launch"] | ["rocket", "launch"]
    )
}

fn returned_rocket(output: &ReturnType) -> Option<&Type> {
    let ReturnType::Type(_, ty) = output else {
        return None;
    };
    let Type::Path(path) = &**ty else {
        return None;
    };
    let last = path.path.segments.last()?;
    is_rocket(last).then_some(ty)
}

/// `Rocket<Build>`, the phase before its launch; after it, it is a good result.
fn is_rocket(segment: &PathSegment) -> bool {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return false;
    };
    let Some(GenericArgument::Type(Type::Path(phase))) = arguments.args.first() else {
        return false;
    };
    let phase = phase.path.segments.last();
    segment.ident == "Rocket" && phase.is_some_and(|phase| phase.ident == "Build")
}

fn mentions(tokens: TokenStream, name: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => mentions(group.stream(), name),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

fn words(path: &Path) -> Vec<String> {
    let segments = path.segments.iter();
    segments
        .map(|segment| segment.ident.to_token_stream().to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str, config: &Config) -> String {
        let item = syn::parse_str(text).expect("it is a function");
        let mut errors = Errors::default();
        check(&item, config, &mut errors);
        errors.into_tokens().to_string()
    }

    #[test]
    fn other_attributes_are_welcome() {
        for text in [
            "#[tokio::main] #[other::main] #[main] #[sky::launch] async fn main() -> Rocket<Ignite> {}",
            "fn main() -> Rocket {}",
            "fn main() -> (Rocket<Build>, u8) {}",
        ] {
            assert_eq!(verdict(text, &Config::default()), "", "{text}");
        }
    }

    #[test]
    fn those_that_make_something_else_of_the_function_are_refused() {
        for (text, message) in [
            (
                "#[::prefork::main(workers = 4)] fn main() {}",
                "stands here twice",
            ),
            (
                "#[tokio::main] #[prefork::main] fn main() {}",
                "stands here twice",
            ),
            (
                "async fn main() { __prefork_call().await }",
                "stands here twice",
            ),
            (
                "fn main() { block_on(async { __prefork_call().await }) }",
                "stands here twice",
            ),
            ("#[launch] fn rocket() -> _ {}", "makes a `main` of its own"),
            (
                "#[rocket::launch] async fn rocket() -> Other {}",
                "makes a `main` of its own",
            ),
            (
                "fn rocket() -> ::rocket::Rocket<::rocket::Build> {}",
                "makes a `main` of its own",
            ),
        ] {
            let errors = verdict(text, &Config::default());
            assert!(errors.contains(message), "{text}: {errors}");
            assert_eq!(errors.matches("compile_error").count(), 1, "{errors}");
        }
    }

    #[test]
    fn threads_are_for_a_runtime_of_ours() {
        let threads = |text: &str, runtime: Option<&str>| {
            let config = Config {
                options: vec![Setting {
                    name: syn::parse_str("runtime_threads").expect("a name"),
                    value: syn::parse_str("4").expect("a value"),
                }],
                runtime: runtime.map(|path| syn::parse_str(path).expect("a path")),
                ..Config::default()
            };
            verdict(text, &config)
        };

        assert_eq!(threads("#[instrument] async fn main() {}", None), "");
        assert!(threads("fn main() {}", None).contains("this function is none"));
        let text = "#[tokio::main] async fn main() {}";
        assert!(threads(text, None).contains("`#[tokio::main]` brings its own: say it there"));
        let named = threads("async fn main() {}", Some("smol::block_on"));
        assert!(named.contains("`runtime` names another"));
    }

    #[test]
    fn a_doubled_attribute_is_known_by_its_other_name() {
        let config = Config {
            krate: syn::parse_str("my::door").ok(),
            ..Config::default()
        };

        assert!(verdict("#[my::door::main] fn main() {}", &config).contains("stands here twice"));
        assert!(verdict("#[my::other::main] fn main() {}", &config).is_empty());
    }
}
