//! Checks the signature of the function below the attribute.
//!
//! It does not know whether the types in the signature exist and fit: rustc reports that in the
//! expansion.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{FnArg, ReturnType, Safety, Signature, Type};

use crate::check::Arguments;
use crate::errors::Errors;
use crate::item::Item;
use crate::other_attributes::is_launch;

/// Reports all reasons why a worker cannot run this function.
pub(crate) fn check(item: &Item, config: &Arguments, errors: &mut Errors) {
    let signature = &item.signature;
    check_qualifiers(signature, errors);
    check_generics(signature, errors);
    check_inputs(signature, errors);
    // With `#[rocket::launch]`, the error about that attribute also explains `_`.
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
            "`runtime` needs an `async fn`; this function is not async",
        );
    }
}

/// Whether rustc would reject this function in the expansion too.
pub(crate) fn is_uncallable(signature: &Signature) -> bool {
    signature.receiver().is_some() || signature.variadic.is_some() || inferred(signature).is_some()
}

fn check_qualifiers(signature: &Signature, errors: &mut Errors) {
    if let Some(constness) = &signature.constness {
        errors.at(constness, "`#[prefork::main]` function must not be `const`");
    }
    match &signature.safety {
        Safety::Unsafe(unsafety) => {
            errors.at(unsafety, "`#[prefork::main]` function must not be `unsafe`");
        }
        // `safe` is only valid in `extern` blocks; the parser does not accept it before a body.
        Safety::Safe(_) | Safety::Default => {}
    }
    if let Some(abi) = &signature.abi {
        errors.at(abi, "`#[prefork::main]` function must not be `extern`");
    }
}

fn check_generics(Signature { generics, .. }: &Signature, errors: &mut Errors) {
    if !generics.params.is_empty() {
        errors.at(
            &generics.params,
            "`#[prefork::main]` function must not be generic",
        );
    }
    if let Some(clause) = &generics.where_clause {
        errors.at(
            clause,
            "`#[prefork::main]` function must not have a `where` clause",
        );
    }
}

fn check_inputs(signature: &Signature, errors: &mut Errors) {
    for input in &signature.inputs {
        match input {
            FnArg::Receiver(receiver) => {
                errors.at(
                    receiver.self_token,
                    "`#[prefork::main]` function must not be a method",
                );
            }
            FnArg::Typed(argument) if has_impl(argument.ty.to_token_stream()) => {
                errors.at(
                    &argument.ty,
                    "`#[prefork::main]` function must not take `impl Trait`; use a concrete type",
                );
            }
            FnArg::Typed(_) => {}
        }
    }
    if let Some(variadic) = &signature.variadic {
        errors.at(
            variadic.dots,
            "`#[prefork::main]` function must not be variadic",
        );
    }
}

fn check_output(signature: &Signature, errors: &mut Errors) {
    if let Some(ty) = inferred(signature) {
        errors.at(
            ty,
            "`#[prefork::main]` function must not return `_`; write the type",
        );
    }
}

fn inferred(signature: &Signature) -> Option<&Type> {
    match &signature.output {
        ReturnType::Type(_, ty) if matches!(**ty, Type::Infer(_)) => Some(ty),
        _ => None,
    }
}

/// Whether the type contains `impl Trait`.
///
/// `impl` is a keyword, so the token has no other meaning.
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

    fn verdict(text: &str, config: &Arguments) -> String {
        let item = syn::parse_str(text).expect("a function");
        let mut errors = Errors::default();
        check(&item, config, &mut errors);
        errors.into_tokens().to_string()
    }

    #[test]
    fn valid_functions_pass() {
        for text in [
            "fn main() {}",
            "pub(crate) async fn serve(_: A, mut b: B, (c, d): (C, D)) -> impl Termination {}",
            "#[tokio::main] #[other::main] #[main] async fn main(a: implement) -> ! {}",
        ] {
            assert_eq!(verdict(text, &Arguments::default()), "", "{text}");
        }
    }

    #[test]
    fn each_mistake_is_reported() {
        for (text, message) in [
            ("const fn main() {}", "must not be `const`"),
            ("unsafe fn main() {}", "must not be `unsafe`"),
            ("extern \"C\" fn main() {}", "must not be `extern`"),
            ("fn main<T>(a: T) {}", "must not be generic"),
            ("fn main<'a>(a: &'a str) {}", "must not be generic"),
            (
                "fn main() where u8: Copy {}",
                "must not have a `where` clause",
            ),
            ("fn main(&self) {}", "must not be a method"),
            ("fn main(self: Box<Self>) {}", "must not be a method"),
            (
                "fn main(a: Vec<(u8, impl Copy)>) {}",
                "must not take `impl Trait`",
            ),
            ("fn main(a: u8, ...) {}", "must not be variadic"),
            ("fn main() -> _ {}", "must not return `_`"),
        ] {
            let errors = verdict(text, &Arguments::default());
            assert!(errors.contains(message), "{text}: {errors}");
            assert_eq!(errors.matches("compile_error").count(), 1, "{errors}");
        }
    }

    #[test]
    fn a_runtime_needs_an_async_function() {
        let config = Arguments {
            runtime: syn::parse_str("smol::block_on").ok(),
            ..Arguments::default()
        };

        assert!(verdict("fn main() {}", &config).contains("this function is not async"));
        assert!(verdict("async fn main() {}", &config).is_empty());
    }
}
