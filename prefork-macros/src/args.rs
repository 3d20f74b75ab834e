//! Parses the arguments of the attribute: `key = value`, separated by commas.
//!
//! It knows the syntax and keeps all spans. It does not know which keys exist and which values they
//! take. After an error it skips the pair and continues after the next comma, so that one
//! compilation shows all errors.

use proc_macro2::{TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::discouraged::Speculative;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, Ident, Token};

use crate::errors::Errors;

/// One argument.
pub(crate) struct KeyValue {
    pub(crate) key: Ident,
    /// The expression after `=`, if there is one.
    pub(crate) value: Option<Expr>,
}

/// Parses the arguments; reports and skips those with errors.
pub(crate) fn parse(arguments: TokenStream, errors: &mut Errors) -> Vec<KeyValue> {
    let mut pairs = Vec::new();
    let parser = |input: ParseStream<'_>| {
        while !input.is_empty() {
            match parse_pair(input).and_then(|pair| {
                pairs.push(pair);
                parse_comma(input)
            }) {
                Ok(()) => {}
                Err(error) => {
                    errors.push(error);
                    skip_pair(input);
                }
            }
        }
        Ok(())
    };
    if let Err(error) = parser.parse2(arguments) {
        errors.push(error);
    }
    pairs
}

fn parse_pair(input: ParseStream<'_>) -> syn::Result<KeyValue> {
    let key = Ident::parse_any(input).map_err(|error| {
        syn::Error::new(error.span(), "expected an option, as in `workers = 4`")
    })?;
    if is_end_of_pair(input) {
        return Ok(KeyValue { key, value: None });
    }
    if !input.peek(Token![=]) || input.peek(Token![==]) {
        let text = format!("expected `=`, as in `{key} = …`");
        return Err(input.error(text));
    }
    input.parse::<Token![=]>()?;
    if is_end_of_pair(input) {
        return Ok(KeyValue { key, value: None });
    }
    // On a fork, it does not matter where a failed parser stops.
    let ahead = input.fork();
    let value = ahead.parse().map_err(|error| {
        if ahead.is_empty() {
            // There is no token after the last one that the error could point to.
            return syn::Error::new(key.span(), format!("the value of `{key}` is incomplete"));
        }
        error
    })?;
    input.advance_to(&ahead);
    Ok(KeyValue {
        key,
        value: Some(value),
    })
}

fn parse_comma(input: ParseStream<'_>) -> syn::Result<()> {
    if !input.is_empty() {
        input.parse::<Token![,]>()?;
    }
    Ok(())
}

/// Skips tokens up to the next comma, or to a pair without a comma in front.
fn skip_pair(input: ParseStream<'_>) {
    while !input.is_empty() && !is_pair(input) {
        if input
            .parse::<Option<Token![,]>>()
            .is_ok_and(|comma| comma.is_some())
        {
            return;
        }
        if input.parse::<TokenTree>().is_err() {
            return;
        }
    }
}

fn is_pair(input: ParseStream<'_>) -> bool {
    input.peek(Ident::peek_any) && input.peek2(Token![=]) && !input.peek2(Token![==])
}

fn is_end_of_pair(input: ParseStream<'_>) -> bool {
    input.is_empty() || input.peek(Token![,])
}

#[cfg(test)]
mod tests {
    use quote::ToTokens;

    use super::*;

    fn read(text: &str) -> (Vec<String>, String) {
        let mut errors = Errors::default();
        let pairs = parse(text.parse().expect("balanced tokens"), &mut errors);
        let pairs = pairs
            .iter()
            .map(|pair| format!("{}: {}", pair.key, pair.value.to_token_stream()));
        (pairs.collect(), errors.into_tokens().to_string())
    }

    #[test]
    fn values_are_any_expression() {
        let (pairs, errors) =
            read("a = 1, b = f::<X, Y>(2), crate = ::x, c = [1, 2], d = |x| x, e = Some(3)?,");

        assert_eq!(pairs.len(), 6, "{pairs:?}");
        assert_eq!(pairs[1], "b: f :: < X , Y > (2)");
        assert_eq!(errors, "");
    }

    #[test]
    fn no_arguments_are_valid() {
        assert_eq!(read(""), (vec![], String::new()));
    }

    #[test]
    fn a_key_may_have_no_value() {
        assert_eq!(read("a, b =, c").0, ["a: ", "b: ", "c: "]);
    }

    #[test]
    fn an_error_skips_its_own_pair_only() {
        let (pairs, errors) = read("4, a = 1, b(2), c: 3, d = +, \"x\", e == 4, f = 5 6, g = 7");

        assert_eq!(pairs, ["a: 1", "f: 5", "g: 7"]);
        assert_eq!(errors.matches("compile_error").count(), 7, "{errors}");
    }

    #[test]
    fn a_missing_comma_is_one_error() {
        let (pairs, errors) = read("a = 1 b = 2");

        assert_eq!(pairs, ["a: 1", "b: 2"]);
        assert!(errors.contains("expected `,`"), "{errors}");
        assert_eq!(errors.matches("compile_error").count(), 1, "{errors}");
    }
}
