//! The attribute as a function from tokens to tokens, which tests can call without a compiler.

use proc_macro2::TokenStream;
use quote::quote;

use crate::errors::Errors;
use crate::item::Item;
use crate::{args, check, expand, listeners, other_attributes, signature};

/// Expands the attribute for any arguments and any item.
///
/// The result is valid code, or errors at their spans and what is left of the item.
pub(crate) fn main_tokens(arguments: TokenStream, item: &TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let config = check::check(args::parse(arguments, &mut errors), &mut errors);
    let function = match syn::parse2::<Item>(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            errors.push(syn::Error::new(
                error.span(),
                "expected a function with a body",
            ));
            let errors = errors.into_tokens();
            return quote!(#item #errors);
        }
    };
    signature::check(&function, &config, &mut errors);
    other_attributes::check(&function, &config, &mut errors);
    listeners::check(&function, &config, &mut errors);
    if !errors.is_empty() {
        return expand::fallback(&function, errors);
    }
    expand::expand(&config, &function)
}
