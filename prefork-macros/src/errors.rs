//! The mistakes that were found so far, each at its own place in the user's source.
//!
//! It knows how to gather and how to emit them; what is a mistake is decided elsewhere.

use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// Gathers errors, so that one compilation shows all of them.
#[derive(Default)]
pub(crate) struct Errors {
    all: Vec<syn::Error>,
}

impl Errors {
    /// Adds one that the parser found.
    pub(crate) fn push(&mut self, error: syn::Error) {
        self.all.push(error);
    }

    /// Adds one that underlines all of the given tokens.
    pub(crate) fn at(&mut self, place: impl ToTokens, text: impl Display) {
        self.push(syn::Error::new_spanned(place, text));
    }

    /// Adds one that underlines the attribute itself.
    pub(crate) fn here(&mut self, text: impl Display) {
        self.push(syn::Error::new(Span::call_site(), text));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Turns them into `compile_error!` items, in the order of the places that they are about.
    pub(crate) fn into_tokens(mut self) -> TokenStream {
        self.all.sort_by_key(|error| {
            let start = error.span().start();
            (start.line, start.column)
        });
        self.all.iter().map(syn::Error::to_compile_error).collect()
    }
}
