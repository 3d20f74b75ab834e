//! Reports other attributes of the function that do not work with `#[prefork::main]`.
//!
//! It recognizes them by their paths and by the code that they generate. Only the compiler knows
//! what a path resolves to. All other attributes are allowed.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, GenericArgument, Path, PathArguments, PathSegment, ReturnType, Type};

use crate::check::{Arguments, Setting};
use crate::errors::Errors;
use crate::item::{CALL, Item};

const TWICE: &str = "duplicate `#[prefork::main]`; put all options in one attribute";

const LAUNCH: &str = "`#[rocket::launch]` generates its own `main`, which starts no workers; use \
                      `#[rocket::main] async fn main()` and call `rocket.launch().await` in it";

/// Reports attributes, above and below, that replace the function by another `main`.
pub(crate) fn check(item: &Item, config: &Arguments, errors: &mut Errors) {
    for attribute in &item.foreign {
        if is_prefork_main(attribute, config.krate.as_ref()) {
            errors.at(attribute, TWICE);
        } else if is_launch(attribute.path()) {
            errors.at(attribute, LAUNCH);
        }
    }
    check_threads(item, config, errors);
    // With another name (`use prefork::main as serve`), only the expansion of the upper one shows
    // it.
    if mentions(item.body.stream(), CALL) {
        errors.here(TWICE);
    }
    // An attribute above has expanded already, and has replaced `_` by the type.
    let is_below = item.foreign.iter().any(|other| is_launch(other.path()));
    if let Some(rocket) = returned_rocket(&item.signature.output).filter(|_| !is_below) {
        errors.at(rocket, LAUNCH);
    }
}

/// Reports `runtime_threads` if the function does not run on a runtime of prefork.
fn check_threads(item: &Item, config: &Arguments, errors: &mut Errors) {
    let named = |setting: &&Setting| setting.name == "runtime_threads";
    let Some(threads) = config.options.iter().find(named) else {
        return;
    };
    let other = item.foreign.iter().find(|other| is_runtime(other.path()));
    if !item.is_async() {
        let text = "`runtime_threads` needs an `async fn`; this function is not async";
        errors.at(&threads.name, text);
    } else if config.runtime.is_some() {
        let text = "`runtime_threads` is for prefork's own runtime, but `runtime` sets another one";
        errors.at(&threads.name, text);
    } else if let Some(other) = other {
        let path = segments(other.path()).join("::");
        let how = match path.as_str() {
            "tokio::main" => " (`worker_threads = 4`)",
            _ => "",
        };
        let text = format!(
            "`runtime_threads` is for prefork's own runtime, but `#[{path}]` has another one; set the number there{how}"
        );
        errors.at(&threads.name, text);
    }
}

/// Whether this is a runtime's attribute, such as `tokio::main` or `actix_web::main`.
fn is_runtime(path: &Path) -> bool {
    path.segments
        .last()
        .is_some_and(|last| last.ident == "main")
}

/// Whether this is `#[prefork::main]`, which would make a master of each worker.
fn is_prefork_main(attribute: &Attribute, krate: Option<&Path>) -> bool {
    let segments = segments(attribute.path());
    let Some((last, parent)) = segments.split_last() else {
        return false;
    };
    let named = krate.map(self::segments);
    last == "main" && (parent == ["prefork"] || named.as_deref() == Some(parent))
}

/// Whether this is `#[rocket::launch]`.
///
/// The error about its return type `_` would not help the user.
pub(crate) fn is_launch(path: &Path) -> bool {
    matches!(
        segments(path)
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()[..],
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

/// Whether the type is `Rocket<Build>`, before the launch.
///
/// `Rocket<Ignite>` is a valid result.
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

fn segments(path: &Path) -> Vec<String> {
    let segments = path.segments.iter();
    segments
        .map(|segment| segment.ident.to_token_stream().to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str, config: &Arguments) -> String {
        let item = syn::parse_str(text).expect("a function");
        let mut errors = Errors::default();
        check(&item, config, &mut errors);
        errors.into_tokens().to_string()
    }

    #[test]
    fn other_attributes_are_allowed() {
        for text in [
            "#[tokio::main] #[other::main] #[main] #[sky::launch] async fn main() -> Rocket<Ignite> {}",
            "fn main() -> Rocket {}",
            "fn main() -> (Rocket<Build>, u8) {}",
        ] {
            assert_eq!(verdict(text, &Arguments::default()), "", "{text}");
        }
    }

    #[test]
    fn attributes_that_replace_the_function_are_rejected() {
        for (text, message) in [
            (
                "#[::prefork::main(workers = 4)] fn main() {}",
                "duplicate `#[prefork::main]`",
            ),
            (
                "#[tokio::main] #[prefork::main] fn main() {}",
                "duplicate `#[prefork::main]`",
            ),
            (
                "async fn main() { __prefork_call().await }",
                "duplicate `#[prefork::main]`",
            ),
            (
                "fn main() { block_on(async { __prefork_call().await }) }",
                "duplicate `#[prefork::main]`",
            ),
            ("#[launch] fn rocket() -> _ {}", "generates its own `main`"),
            (
                "#[rocket::launch] async fn rocket() -> Other {}",
                "generates its own `main`",
            ),
            (
                "fn rocket() -> ::rocket::Rocket<::rocket::Build> {}",
                "generates its own `main`",
            ),
        ] {
            let errors = verdict(text, &Arguments::default());
            assert!(errors.contains(message), "{text}: {errors}");
            assert_eq!(errors.matches("compile_error").count(), 1, "{errors}");
        }
    }

    #[test]
    fn threads_are_only_for_the_runtime_of_prefork() {
        let threads = |text: &str, runtime: Option<&str>| {
            let config = Arguments {
                options: vec![Setting {
                    name: syn::parse_str("runtime_threads").expect("a name"),
                    value: syn::parse_str("4").expect("a value"),
                }],
                runtime: runtime.map(|path| syn::parse_str(path).expect("a path")),
                ..Arguments::default()
            };
            verdict(text, &config)
        };

        assert_eq!(threads("#[instrument] async fn main() {}", None), "");
        assert!(threads("fn main() {}", None).contains("this function is not async"));
        let text = "#[tokio::main] async fn main() {}";
        assert!(
            threads(text, None).contains("`#[tokio::main]` has another one; set the number there")
        );
        let named = threads("async fn main() {}", Some("smol::block_on"));
        assert!(named.contains("`runtime` sets another one"));
    }

    #[test]
    fn a_duplicate_is_found_by_the_path_of_the_crate() {
        let config = Arguments {
            krate: syn::parse_str("my::reexport").ok(),
            ..Arguments::default()
        };

        assert!(
            verdict("#[my::reexport::main] fn main() {}", &config)
                .contains("duplicate `#[prefork::main]`")
        );
        assert!(verdict("#[my::other::main] fn main() {}", &config).is_empty());
    }
}
