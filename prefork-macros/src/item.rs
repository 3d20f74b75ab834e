//! The user's function, as far as the expansion must know it.
//!
//! It knows the signature and where each attribute belongs; the body stays a group of tokens that nobody looks into, so
//! that a half-written one still completes in an editor.

use proc_macro2::{Delimiter, Group, TokenStream};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Signature, Visibility, braced};

/// The function below the attribute.
pub(crate) struct Item {
    /// Attributes for what the rest of the program sees. Lint levels are among them: they reach everything inside.
    pub(crate) outside: Vec<Attribute>,
    /// Attributes about the code of the function.
    pub(crate) inside: Vec<Attribute>,
    /// Attributes of other crates, such as `#[tokio::main]`, in their order.
    pub(crate) foreign: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    /// The braces with all that is in them, inner attributes included.
    pub(crate) body: Group,
}

impl Parse for Item {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let signature = input.parse()?;
        // Not parsed as a group: a body that came through a macro's `$body:block` has an invisible one around it.
        let content;
        let brace = braced!(content in input);
        let mut body = Group::new(Delimiter::Brace, content.parse::<TokenStream>()?);
        body.set_span(brace.span.join());
        let mut item = Self {
            outside: Vec::new(),
            inside: Vec::new(),
            foreign: Vec::new(),
            visibility,
            signature,
            body,
        };
        for attribute in attributes {
            item.sort(attribute);
        }
        Ok(item)
    }
}

impl Item {
    pub(crate) fn is_async(&self) -> bool {
        self.signature.asyncness.is_some()
    }

    fn sort(&mut self, attribute: Attribute) {
        let first = attribute.path().segments.first();
        let name = first.map(|segment| segment.ident.to_string());
        match name.as_deref() {
            Some(
                "allow" | "expect" | "warn" | "deny" | "forbid" | "doc" | "cfg" | "cfg_attr"
                | "deprecated" | "must_use",
            ) => self.outside.push(attribute),
            Some(
                "inline" | "cold" | "track_caller" | "target_feature" | "clippy" | "rustfmt"
                | "diagnostic",
            ) => {
                self.inside.push(attribute);
            }
            _ => self.foreign.push(attribute),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_go_where_they_work() {
        let item: Item = syn::parse_str(
            "/// What it is.
            #[tokio::main] #[allow(unused)] #[inline] #[clippy::cognitive_complexity = \"9\"] #[a::b] #[must_use]
            pub async fn main() { #![allow(dead_code)] not { even } rust }",
        )
        .expect("it is a function");

        assert_eq!(
            (item.outside.len(), item.inside.len(), item.foreign.len()),
            (3, 2, 2)
        );
        assert!(item.is_async());
        assert!(item.body.to_string().contains("not { even } rust"));
    }

    #[test]
    fn other_items_are_no_functions() {
        for text in [
            "",
            "fn main();",
            "struct Main;",
            "mod main {}",
            "fn main() {} fn other() {}",
            "fn",
        ] {
            assert!(syn::parse_str::<Item>(text).is_err(), "{text}");
        }
    }
}
