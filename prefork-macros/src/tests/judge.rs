//! What must hold for whatever somebody writes: asked by the property test and by the fuzzer.

use proc_macro2::{TokenStream, TokenTree};
use syn::ItemFn;

use crate::debug::render;
use crate::main_tokens;

/// Expands the attribute and judges what comes out; a panic is an answer, too, and a wrong one.
///
/// # Errors
/// What is wrong with the expansion.
pub(crate) fn judge(arguments: &str, item: &str) -> Result<(), String> {
    let (Ok(arguments), Ok(item)) = (
        arguments.parse::<TokenStream>(),
        item.parse::<TokenStream>(),
    ) else {
        // The compiler has no tokens either, and never asks us.
        return Ok(());
    };
    let expansion = main_tokens(arguments, &item);
    if !can_be_shown(&expansion) {
        return Err(format!("cannot be shown: {expansion}"));
    }
    // The body was not looked into, so a body that is no Rust stays what it is; everything around it must be Rust.
    let must_be_rust = !has_error(&expansion) && syn::parse2::<ItemFn>(item).is_ok();
    if must_be_rust && syn::parse2::<ItemFn>(expansion.clone()).is_err() {
        return Err(format!("is no Rust: {expansion}"));
    }
    Ok(())
}

/// Spaces may say that two marks are one operator, but only the parser would ask for that.
fn can_be_shown(expansion: &TokenStream) -> bool {
    let plain = |tokens: &TokenStream| tokens.to_string().replace(' ', "");
    let read = render(expansion).parse::<TokenStream>();
    read.is_ok_and(|read| plain(&read) == plain(expansion))
}

/// Whether a `compile_error!` stands beside what is left of the item.
fn has_error(tokens: &TokenStream) -> bool {
    tokens
        .clone()
        .into_iter()
        .any(|token| matches!(token, TokenTree::Ident(ident) if ident == "compile_error"))
}
