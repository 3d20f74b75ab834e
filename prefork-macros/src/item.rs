//! Parses the function below the attribute.
//!
//! It knows the signature, and which function of the expansion each attribute belongs to. The body
//! is an unparsed group of tokens, so that completion in an editor works in an incomplete body.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Meta, Signature, Visibility, braced};

/// The name of the function in the expansion that calls the function of the user.
pub(crate) const CALL: &str = "__prefork_call";

/// The function below the attribute.
pub(crate) struct Item {
    /// Attributes of the function that the rest of the program sees.
    ///
    /// Lint levels are among them, because they also apply to the code inside.
    pub(crate) outside: Vec<Attribute>,
    /// Attributes of the function of the user.
    pub(crate) inside: Vec<Attribute>,
    /// Attributes of other crates, such as `#[tokio::main]`, in the order of the source.
    pub(crate) foreign: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    /// The braces with their content, including inner attributes.
    pub(crate) body: Group,
}

impl Parse for Item {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let signature = input.parse()?;
        // Not parsed as a group: a `$body:block` of a macro has an invisible group around it.
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
        for attribute in attributes.into_iter().flat_map(split_cfg_attr) {
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
        match root_ident(&attribute.meta).as_deref() {
            Some(
                "allow" | "expect" | "warn" | "deny" | "forbid" | "doc" | "cfg" | "cfg_attr"
                | "deprecated" | "must_use",
            ) => self.outside.push(attribute),
            // For both functions.
            Some("inline") => {
                self.outside.push(attribute.clone());
                self.inside.push(attribute);
            }
            Some(
                "cold" | "track_caller" | "target_feature" | "clippy" | "rustfmt" | "diagnostic",
            ) => {
                self.inside.push(attribute);
            }
            _ => self.foreign.push(attribute),
        }
    }
}

/// Splits `cfg_attr(condition, a, b)` into one `cfg_attr` for each of `a` and `b`.
///
/// The compiler evaluates the condition only after this attribute, and each of `a` and `b` may
/// belong to another function of the expansion.
fn split_cfg_attr(attribute: Attribute) -> Vec<Attribute> {
    let Some((condition, attributes)) = conditional(&attribute.meta) else {
        return vec![attribute];
    };
    let with = |one: &TokenStream| {
        let mut attribute = attribute.clone();
        if let Meta::List(list) = &mut attribute.meta {
            list.tokens = quote!(#condition, #one);
        }
        attribute
    };
    attributes.iter().map(with).collect()
}

/// The condition and the attributes of a `cfg_attr`; `None` for any other attribute.
fn conditional(meta: &Meta) -> Option<(TokenStream, Vec<TokenStream>)> {
    let list = meta.require_list().ok()?;
    if !list.path.is_ident("cfg_attr") {
        return None;
    }
    let mut parts = vec![TokenStream::new()];
    for token in list.tokens.clone() {
        match (token, parts.last_mut()) {
            (TokenTree::Punct(mark), _) if mark.as_char() == ',' => parts.push(TokenStream::new()),
            (token, Some(part)) => part.extend([token]),
            (_, None) => {}
        }
    }
    // After a trailing comma there is no attribute.
    parts.retain(|part| !part.is_empty());
    let condition = (parts.len() > 1).then(|| parts.remove(0))?;
    Some((condition, parts))
}

/// The first identifier in the path of an attribute, also inside a `cfg_attr`.
fn root_ident(meta: &Meta) -> Option<String> {
    if let Some((_, attributes)) = conditional(meta) {
        let inner = attributes.into_iter().next()?;
        // If it is not an attribute, rustc reports it when the condition is true.
        return syn::parse2(inner)
            .map_or_else(|_| Some("cfg_attr".to_owned()), |inner| root_ident(&inner));
    }
    let first = meta.path().segments.first()?;
    Some(first.ident.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_sorted_by_function() {
        let item: Item = syn::parse_str(
            "/// Serves.
            #[tokio::main] #[allow(unused)] #[inline] #[clippy::cognitive_complexity = \"9\"] #[a::b] #[must_use]
            pub async fn main() { #![allow(dead_code)] not { even } rust }",
        )
        .expect("a function");

        assert_eq!(
            (item.outside.len(), item.inside.len(), item.foreign.len()),
            (4, 2, 2)
        );
        assert!(item.is_async());
        assert!(item.body.to_string().contains("not { even } rust"));
    }

    #[test]
    fn attributes_with_a_condition_are_sorted_like_those_without() {
        let item: Item = syn::parse_str(
            "#[cfg_attr(any(a, b), tokio::main(flavor = \"x\", worker_threads = 2), allow(unused), inline,)]
            #[cfg_attr(a, cfg_attr(b, other::main))]
            #[cfg_attr(a)]
            #[cfg_attr(a, 4)]
            async fn main() {}",
        )
        .expect("a function");

        let texts = |attributes: &[Attribute]| -> Vec<String> {
            let texts = attributes
                .iter()
                .map(|attribute| quote!(#attribute).to_string());
            texts.map(|text| text.replace(' ', "")).collect()
        };
        let foreign = [
            "#[cfg_attr(any(a,b),tokio::main(flavor=\"x\",worker_threads=2))]",
            "#[cfg_attr(a,cfg_attr(b,other::main))]",
        ];
        assert_eq!(texts(&item.foreign), foreign);
        let outside = [
            "#[cfg_attr(any(a,b),allow(unused))]",
            "#[cfg_attr(any(a,b),inline)]",
            "#[cfg_attr(a)]",
            "#[cfg_attr(a,4)]",
        ];
        assert_eq!(texts(&item.outside), outside);
        assert_eq!(texts(&item.inside), ["#[cfg_attr(any(a,b),inline)]"]);
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
