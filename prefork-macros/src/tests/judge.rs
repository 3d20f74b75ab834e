//! Invariants of the expansion for any input, checked by the property test and by the fuzzer.

use proc_macro2::{TokenStream, TokenTree};
use syn::ItemFn;

use crate::debug::render;
use crate::main_tokens;

/// Expands the attribute and checks the expansion.
///
/// # Errors
/// The invariant that does not hold.
///
/// # Panics
/// If the attribute panics.
pub(crate) fn judge(arguments: &str, item: &str) -> Result<(), String> {
    let (Ok(arguments), Ok(item)) = (
        arguments.parse::<TokenStream>(),
        item.parse::<TokenStream>(),
    ) else {
        // The compiler does not expand an attribute on invalid tokens.
        return Ok(());
    };
    let expansion = main_tokens(arguments, &item);
    if !can_be_shown(&expansion) {
        return Err(format!("the printed text has other tokens: {expansion}"));
    }
    // The attribute does not parse the body, so an invalid body stays invalid. All other code must
    // be Rust.
    let must_be_rust = !has_error(&expansion) && syn::parse2::<ItemFn>(item).is_ok();
    if must_be_rust && syn::parse2::<ItemFn>(expansion.clone()).is_err() {
        return Err(format!("the expansion is not Rust: {expansion}"));
    }
    Ok(())
}

/// Whether the printed expansion parses to the same tokens.
///
/// Spaces are ignored: they separate operators, which only a parser of Rust would notice.
fn can_be_shown(expansion: &TokenStream) -> bool {
    let plain = |tokens: &TokenStream| tokens.to_string().replace(' ', "");
    let read = render(expansion).parse::<TokenStream>();
    read.is_ok_and(|read| plain(&read) == plain(expansion))
}

/// Whether the expansion contains a `compile_error!` next to the item.
fn has_error(tokens: &TokenStream) -> bool {
    tokens
        .clone()
        .into_iter()
        .any(|token| matches!(token, TokenTree::Ident(ident) if ident == "compile_error"))
}
