//! The errors that were found so far, each with its span in the user's source.
//!
//! It collects and emits them. The other files decide what is an error.

use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// Collects errors, so that one compilation shows all of them.
#[derive(Default)]
pub(crate) struct Errors {
    all: Vec<syn::Error>,
}

impl Errors {
    /// Adds an error of the parser.
    pub(crate) fn push(&mut self, error: syn::Error) {
        self.all.push(error);
    }

    /// Adds an error that points to all of these tokens.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, text: impl Display) {
        self.push(syn::Error::new_spanned(tokens, text));
    }

    /// Adds an error that points to the attribute itself.
    pub(crate) fn here(&mut self, text: impl Display) {
        self.push(syn::Error::new(Span::call_site(), text));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Turns the errors into `compile_error!` items, in the order of their spans.
    pub(crate) fn into_tokens(mut self) -> TokenStream {
        self.all.sort_by_key(|error| {
            let start = error.span().start();
            (start.line, start.column)
        });
        self.all.iter().map(syn::Error::to_compile_error).collect()
    }
}
