//! Checks one value of the attribute against its option.
//!
//! It knows the literals of Rust and uses the grammars of `prefork-options`. It accepts any other
//! expression: the type checker and the start of the program check it.

use std::time::Duration;

use prefork_options::{Address, Literals, Network, OptionValue, Row, address, list, protocols};
use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::token::Comma;
use syn::{Expr, ExprLit, Lit, LitInt, LitStr, UnOp};

use crate::errors::Errors;

/// Reports the errors of a value that are known at compile time.
pub(crate) fn check(row: &Row, value: &Expr, errors: &mut Errors) {
    match (row.literals, bare(value)) {
        (Literals::Addresses, Expr::Array(array)) => {
            return check_addresses(&array.elems, value, errors);
        }
        (Literals::Protocols, Expr::Array(array)) => {
            return check_protocols(&array.elems, value, errors);
        }
        (Literals::Function, Expr::Closure(_)) => return,
        (_, _) => {}
    }
    if let (Literals::Number | Literals::FlagOrNumber, Some(number)) = (row.literals, number(value))
    {
        report(value, row.check(&number), errors);
        return;
    }
    match (row.literals, literal(value)) {
        (Literals::Flag | Literals::FlagOrNumber, Some(Lit::Bool(_)))
        | (Literals::Bytes, Some(Lit::ByteStr(_))) => {}
        (Literals::Duration, Some(Lit::Int(number))) => {
            let text = format!("{}; {}", mismatch(row, "a number"), in_quotes(number));
            errors.at(number, text);
        }
        (_, Some(Lit::Str(text))) if !row.is_function() => {
            report(text, row.check(&text.value()), errors);
        }
        (_, _) => {
            if let Some(found) = describe(value) {
                errors.at(value, mismatch(row, found));
            }
        }
    }
}

/// Removes parentheses and the invisible groups of a `macro_rules!` macro.
pub(crate) fn bare(value: &Expr) -> &Expr {
    match value {
        Expr::Group(group) => bare(&group.expr),
        Expr::Paren(paren) => bare(&paren.expr),
        other => other,
    }
}

/// The literal, if the value is one.
pub(crate) fn literal(value: &Expr) -> Option<&Lit> {
    match bare(value) {
        Expr::Lit(ExprLit { lit, .. }) => Some(lit),
        _ => None,
    }
}

/// The digits of a whole number, with its sign. The kind of the option decides whether it may be
/// negative.
fn number(value: &Expr) -> Option<String> {
    let (sign, value) = match bare(value) {
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => ("-", &*unary.expr),
        other => ("", other),
    };
    match literal(value) {
        Some(Lit::Int(number)) => Some(format!("{sign}{}", number.base10_digits())),
        _ => None,
    }
}

/// Describes a value for a message; `None` if its syntax does not show its type.
pub(crate) fn describe(value: &Expr) -> Option<&'static str> {
    if let Some(literal) = literal(value) {
        return Some(match literal {
            Lit::Str(_) => "a string",
            Lit::ByteStr(_) => "a byte string",
            Lit::CStr(_) => "a C string",
            Lit::Byte(_) => "a byte",
            Lit::Char(_) => "a character",
            Lit::Int(_) => "a number",
            Lit::Float(_) => "a floating-point number",
            Lit::Bool(_) => "a boolean",
            // The enum is non-exhaustive.
            _ => "another literal",
        });
    }
    match bare(value) {
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => {
            literal(&unary.expr).map(|_| "a negative number")
        }
        Expr::Array(_) | Expr::Repeat(_) => Some("an array"),
        Expr::Closure(_) => Some("a closure"),
        Expr::Range(_) => Some("a range"),
        Expr::Tuple(_) => Some("a tuple"),
        _ => None,
    }
}

fn mismatch(row: &Row, found: &str) -> String {
    format!("expected {}, found {found}", row.expected)
}

/// The suggestion for a number without quotes: `5` may mean `"5s"`, and `5s` does.
fn in_quotes(number: &LitInt) -> String {
    let written = number.to_string();
    if Duration::parse(&written).is_ok() {
        return format!("put it in quotes: \"{written}\"");
    }
    format!("did you mean \"{}s\"?", number.base10_digits())
}

fn check_addresses(elements: &Punctuated<Expr, Comma>, array: &Expr, errors: &mut Errors) {
    if elements.is_empty() {
        errors.at(
            array,
            "the array is empty; add an address, or remove `listen`",
        );
    }
    let known = elements
        .iter()
        .filter_map(|element| Some((element, check_element(element, errors)?)));
    let (spans, known): (Vec<_>, Vec<_>) = known.unzip();
    // The default name of an address is its index, so names are compared only if all are known.
    if known.len() == elements.len()
        && let Err(clash) = list::name(known)
    {
        errors.at(spans[clash.index], clash.error);
    }
}

/// Reports addresses of `listen` that conflict in each of these networks.
pub(crate) fn check_overlaps(listen: &Expr, networks: &[Option<Network>], errors: &mut Errors) {
    let (spans, mut known): (Vec<_>, Vec<_>) = known_addresses(listen).into_iter().unzip();
    let is_complete = match bare(listen) {
        Expr::Array(array) => array.elems.len() == known.len(),
        _ => true,
    };
    if is_complete && let Ok(named) = list::name(known.clone()) {
        known = named;
    }
    let mut found = networks
        .iter()
        .map(|&network| list::overlaps(&known, network));
    let mut clashes = found.next().unwrap_or_default();
    for others in found {
        clashes.retain(|clash| others.iter().any(|other| other.index == clash.index));
    }
    for clash in clashes {
        errors.at(spans[clash.index], clash.error);
    }
}

/// Checks the names of protocols that are literals.
///
/// If all names are literals, it also checks for duplicates.
fn check_protocols(elements: &Punctuated<Expr, Comma>, array: &Expr, errors: &mut Errors) {
    let names: Option<Vec<String>> = elements.iter().map(known_text).collect();
    for element in elements {
        match (known_text(element), describe(element)) {
            (Some(name), _) if names.is_none() => {
                report(element, protocols::check(vec![name]), errors);
            }
            (None, Some(found)) => {
                let text = format!("expected the name of a protocol such as \"h2\", found {found}");
                errors.at(element, text);
            }
            (_, _) => {}
        }
    }
    if let Some(names) = names {
        report(array, protocols::check(names), errors);
    }
}

/// The known addresses of a value of `listen`, each with its expression.
pub(crate) fn known_addresses(value: &Expr) -> Vec<(&Expr, Address)> {
    if let Expr::Array(array) = bare(value) {
        let known = |element| Some((element, address::parse(&known_text(element)?).ok()?));
        return array.elems.iter().filter_map(known).collect();
    }
    let known = known_text(value).and_then(|text| list::read(&text).ok());
    let known = known.unwrap_or_default().into_iter();
    known.map(|address| (value, address)).collect()
}

/// The text of a value that is a string literal.
pub(crate) fn known_text(value: &Expr) -> Option<String> {
    match literal(value) {
        Some(Lit::Str(text)) => Some(text.value()),
        _ => None,
    }
}

fn check_element(element: &Expr, errors: &mut Errors) -> Option<Address> {
    if let Some(Lit::Str(text)) = literal(element) {
        return check_address(text, errors);
    }
    if let Some(found) = describe(element) {
        let text = format!("expected an address such as \"127.0.0.1:8080\", found {found}");
        errors.at(element, text);
    }
    None
}

fn check_address(text: &LitStr, errors: &mut Errors) -> Option<Address> {
    report(text, address::parse(&text.value()), errors)
}

fn report<T>(
    tokens: &impl ToTokens,
    result: Result<T, prefork_options::ParseError>,
    errors: &mut Errors,
) -> Option<T> {
    result.map_err(|error| errors.at(tokens, error)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(option: &str, text: &str) -> String {
        let value = syn::parse_str(text).expect("an expression");
        let mut errors = Errors::default();
        let row = Row::find(option).expect(option);
        check(row, &value, &mut errors);
        errors.into_tokens().to_string()
    }

    #[test]
    fn valid_literals_pass() {
        for (option, text) in [
            ("workers", "4"),
            ("workers", "0x10"),
            ("workers", "4usize"),
            ("workers", "(\"auto\")"),
            ("recover_threshold", "1_000"),
            ("healthy_after", "\"1m30s\""),
            ("healthy_after", "r\"5s\""),
            ("listen", "\"[::1]:80\""),
            ("listen", "[\"a=:80\", \":81\"]"),
            ("listen", "\"a=:80,:81\""),
            ("recover_window", "\"forever\""),
            ("recover_window", "\"1m\""),
            ("network", "\"tcp6\""),
            ("reuseport", "true"),
            ("reuseport", "3"),
            ("reuseport", "\"true\""),
            ("recover_threshold", "\"8\""),
            ("workers", "\"auto-1\""),
            ("tls_key", "\"/etc/ssl/key.pem\""),
            ("tls_key", "b\"-----BEGIN\""),
            ("tls_key", "include_bytes!(\"key.pem\")"),
            ("tls_alpn", "\"h2,http/1.1\""),
            ("tls_alpn", "[\"h2\", OTHER]"),
            ("init", "|child| drop(child)"),
            ("init", "hooks::spawned"),
        ] {
            assert_eq!(verdict(option, text), "", "{text}");
        }
    }

    #[test]
    fn other_expressions_pass() {
        for text in [
            "f()",
            "CONST",
            "-x",
            "if a { b } else { c }",
            "env!(\"X\")",
            "x?",
            "Duration::ZERO",
        ] {
            for option in [
                "listen",
                "workers",
                "recover_threshold",
                "healthy_after",
                "recover_window",
                "network",
                "reuseport",
                "env_prefix",
                "init",
            ] {
                assert_eq!(verdict(option, text), "", "{text}");
            }
        }
        assert_eq!(verdict("listen", "[\"a=:80\", second(), \"a=:81\"]"), "");
    }

    #[test]
    fn each_mistake_is_reported() {
        for (option, text, message) in [
            ("workers", "10001", "'10001' is too many workers"),
            (
                "workers",
                "-1",
                "'-1' is not a number of workers, expected \\\"auto\\\"",
            ),
            ("workers", "-1_0.5", "found a negative number"),
            (
                "recover_threshold",
                "(-1_000usize)",
                "'-1000' is too small, expected a number from 0 to 1000000",
            ),
            ("runtime_threads", "-4", "'-4' is not a number of threads"),
            ("healthy_after", "-5", "found a negative number"),
            ("workers", "true", "found a boolean"),
            ("workers", "4.0", "found a floating-point number"),
            ("workers", "[4]", "found an array"),
            (
                "recover_threshold",
                "b\"8\"",
                "expected a number from 0 to 1000000, found a byte string",
            ),
            ("recover_threshold", "\"often\"", "'often' is not a number"),
            (
                "recover_threshold",
                "99999999999999999999999999",
                "is too large",
            ),
            (
                "healthy_after",
                "5",
                "found a number; did you mean \\\"5s\\\"?",
            ),
            (
                "healthy_after",
                "5s",
                "found a number; put it in quotes: \\\"5s\\\"",
            ),
            ("healthy_after", "\"5\"", "has no unit after 5"),
            ("healthy_after", "|| 5", "found a closure"),
            (
                "recover_window",
                "60",
                "found a number; did you mean \\\"60s\\\"?",
            ),
            ("recover_window", "\"ever\"", "or \\\"forever\\\""),
            ("network", "\"udp\"", "is not a network"),
            ("network", "4", "found a number"),
            ("reuseport", "\"yes\"", "'yes' is not a value of reuseport"),
            ("reuseport", "0", "'0' is not a value of reuseport"),
            ("reuseport", "1.5", "found a floating-point number"),
            ("v6only", "1", "found a number"),
            ("v6only", "\"yes\"", "is neither 'true' nor 'false'"),
            (
                "init",
                "\"f\"",
                "expected a function or a closure, found a string",
            ),
            ("listen", "8080", "found a number"),
            ("listen", "[]", "the array is empty"),
            ("listen", "[\":80\", 'x']", "found a character"),
            (
                "listen",
                "[\":80\", \"listener0=:81\"]",
                "are both named 'listener0'",
            ),
            ("listen", "\"8080\"", "is only a port"),
            ("listen", "[\":80,:81\"]", "contains a comma"),
            ("listen", "\"a=:80,a=:81\"", "are both named 'a'"),
            ("env_prefix", "\"myapp\"", "contains invalid characters"),
            ("env_prefix", "4", "expected a prefix such as"),
            (
                "tls_key",
                "\"-----BEGIN PRIVATE KEY-----\"",
                "pass PEM text as bytes",
            ),
            (
                "tls_key",
                "4",
                "expected the path of a PEM file, or its bytes, found a number",
            ),
            ("tls_alpn", "[\"h2\", \"h2\"]", "'h2' is listed twice"),
            ("tls_alpn", "[\"h2\", 'x']", "found a character"),
        ] {
            let found = verdict(option, text);
            assert!(found.contains(message), "{text}: {found}");
            assert_eq!(found.matches("compile_error").count(), 1, "{found}");
        }
    }
}
