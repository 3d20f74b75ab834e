//! What the function below the attribute cannot be.
//!
//! It knows signatures; it does not know whether the types in them exist or suit, that is said by the compiler where the
//! expansion mentions them.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{FnArg, ReturnType, Safety, Signature, Type};

use crate::beside::is_launch;
use crate::check::Config;
use crate::errors::Errors;
use crate::item::Item;

/// Reports every reason why this function cannot be called as the body of a worker.
pub(crate) fn check(item: &Item, config: &Config, errors: &mut Errors) {
    let signature = &item.signature;
    check_qualifiers(signature, errors);
    check_generics(signature, errors);
    check_inputs(signature, errors);
    // What `_` would be there, and what to write instead, is said about the attribute.
    if !item
        .foreign
        .iter()
        .any(|attribute| is_launch(attribute.path()))
    {
        check_output(signature, errors);
    }
    if let Some(runtime) = &config.runtime
        && !item.is_async()
    {
        errors.at(
            runtime,
            "`runtime` runs an `async fn`, and this function is none",
        );
    }
}

/// Whether the compiler would refuse this function wherever we put it, on top of what we say.
pub(crate) fn is_hopeless(signature: &Signature) -> bool {
    signature.receiver().is_some() || signature.variadic.is_some() || inferred(signature).is_some()
}

fn check_qualifiers(signature: &Signature, errors: &mut Errors) {
    let name = &signature.ident;
    if let Some(constness) = &signature.constness {
        errors.at(
            constness,
            format!("`{name}` cannot be `const`, it runs when the worker does"),
        );
    }
    match &signature.safety {
        Safety::Unsafe(unsafety) => {
            errors.at(
                unsafety,
                format!("`{name}` cannot be `unsafe`, nobody could vouch for the call"),
            );
        }
        // `safe` is for `extern` blocks; the parser reads none before a body.
        Safety::Safe(_) | Safety::Default => {}
    }
    if let Some(abi) = &signature.abi {
        errors.at(
            abi,
            format!("`{name}` cannot be `extern`, it is called from Rust"),
        );
    }
}

fn check_generics(
    Signature {
        generics, ident, ..
    }: &Signature,
    errors: &mut Errors,
) {
    if !generics.params.is_empty() {
        errors.at(
            &generics.params,
            format!("`{ident}` cannot be generic, nobody says for which types it is called"),
        );
    }
    if let Some(clause) = &generics.where_clause {
        errors.at(
            clause,
            format!("`{ident}` cannot have a `where` clause, nothing here is generic"),
        );
    }
}

fn check_inputs(signature: &Signature, errors: &mut Errors) {
    let name = &signature.ident;
    for input in &signature.inputs {
        match input {
            FnArg::Receiver(receiver) => {
                errors.at(
                    receiver.self_token,
                    format!("`{name}` cannot be a method, there is no `self` in a new process"),
                );
            }
            FnArg::Typed(argument) if has_impl(argument.ty.to_token_stream()) => {
                errors.at(&argument.ty, format!("`{name}` cannot take `impl Trait`, expected a type that names what is wanted"));
            }
            FnArg::Typed(_) => {}
        }
    }
    if let Some(variadic) = &signature.variadic {
        errors.at(
            variadic.dots,
            format!("`{name}` cannot be variadic, expected a type for each argument"),
        );
    }
}

fn check_output(signature: &Signature, errors: &mut Errors) {
    if let Some(ty) = inferred(signature) {
        let name = &signature.ident;
        errors.at(ty, format!("`{name}` cannot return `_`, expected the type"));
    }
}

fn inferred(signature: &Signature) -> Option<&Type> {
    match &signature.output {
        ReturnType::Type(_, ty) if matches!(**ty, Type::Infer(_)) => Some(ty),
        _ => None,
    }
}

/// `impl` is a keyword, so its token can only mean `impl Trait`.
fn has_impl(ty: TokenStream) -> bool {
    ty.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "impl",
        TokenTree::Group(group) => has_impl(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
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
    fn good_functions_pass() {
        for text in [
            "fn main() {}",
            "pub(crate) async fn serve(_: A, mut b: B, (c, d): (C, D)) -> impl Termination {}",
            "#[tokio::main] #[other::main] #[main] async fn main(a: implement) -> ! {}",
        ] {
            assert_eq!(verdict(text, &Config::default()), "", "{text}");
        }
    }

    #[test]
    fn each_mistake_is_told() {
        for (text, message) in [
            ("const fn main() {}", "`main` cannot be `const`"),
            ("unsafe fn main() {}", "`main` cannot be `unsafe`"),
            ("extern \"C\" fn main() {}", "`main` cannot be `extern`"),
            ("fn main<T>(a: T) {}", "cannot be generic"),
            ("fn main<'a>(a: &'a str) {}", "cannot be generic"),
            (
                "fn main() where u8: Copy {}",
                "cannot have a `where` clause",
            ),
            ("fn main(&self) {}", "cannot be a method"),
            ("fn main(self: Box<Self>) {}", "cannot be a method"),
            (
                "fn main(a: Vec<(u8, impl Copy)>) {}",
                "cannot take `impl Trait`",
            ),
            ("fn main(a: u8, ...) {}", "cannot be variadic"),
            ("fn main() -> _ {}", "`main` cannot return `_`"),
        ] {
            let errors = verdict(text, &Config::default());
            assert!(errors.contains(message), "{text}: {errors}");
            assert_eq!(errors.matches("compile_error").count(), 1, "{errors}");
        }
    }

    #[test]
    fn a_runtime_needs_something_to_run() {
        let config = Config {
            runtime: syn::parse_str("smol::block_on").ok(),
            ..Config::default()
        };

        assert!(verdict("fn main() {}", &config).contains("this function is none"));
        assert!(verdict("async fn main() {}", &config).is_empty());
    }
}
