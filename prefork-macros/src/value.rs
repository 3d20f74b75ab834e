//! Checks one value of the attribute against the kind of its option.
//!
//! It knows the literals of Rust and uses the grammars of `prefork-options`. It accepts any other
//! expression: the type checker and the start of the program check it.

use prefork_options::{Address, Kind, Network, address, duration, list, protocols};
use quote::ToTokens;
use syn::{Expr, ExprLit, Lit, LitInt, LitStr, UnOp};

use crate::errors::Errors;

/// Reports the errors of a value that are known at compile time.
pub(crate) fn check(kind: Kind, value: &Expr, errors: &mut Errors) {
    if let (Kind::Addresses, Expr::Array(array)) = (kind, bare(value)) {
        return check_addresses(&array.elems, value, errors);
    }
    match (kind, literal(value)) {
        (Kind::Addresses, Some(Lit::Str(text))) => {
            report(text, list::parse(&text.value()), errors);
        }
        (Kind::Protocols, _) if matches!(bare(value), Expr::Array(_)) => {
            check_protocols(value, errors);
        }
        (Kind::Code, _) if matches!(bare(value), Expr::Closure(_)) => {}
        (Kind::Flag, Some(Lit::Bool(_))) | (Kind::Pem, Some(Lit::ByteStr(_))) => {}
        (
            Kind::Workers
            | Kind::Count
            | Kind::Duration
            | Kind::Window
            | Kind::Network
            | Kind::Flag
            | Kind::Prefix
            | Kind::Threads
            | Kind::Pem
            | Kind::Protocols,
            Some(Lit::Str(text)),
        ) => {
            report(text, kind.check(&text.value()), errors);
        }
        (Kind::Workers | Kind::Count | Kind::Threads, Some(Lit::Int(number))) => {
            report(number, kind.check(number.base10_digits()), errors);
        }
        (Kind::Duration | Kind::Window, Some(Lit::Int(number))) => {
            let text = format!("{}; {}", mismatch(kind, "a number"), in_quotes(number));
            errors.at(number, text);
        }
        (_, _) => {
            if let Some(found) = describe(value) {
                errors.at(value, mismatch(kind, found));
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

fn mismatch(kind: Kind, found: &str) -> String {
    format!("expected {}, found {found}", kind.expected())
}

/// The suggestion for a number without quotes: `5` may mean `"5s"`, and `5s` does.
fn in_quotes(number: &LitInt) -> String {
    let written = number.to_string();
    if duration::parse(&written).is_ok() {
        return format!("put it in quotes: \"{written}\"");
    }
    format!("did you mean \"{}s\"?", number.base10_digits())
}

fn check_addresses<'a>(
    elements: impl IntoIterator<Item = &'a Expr>,
    array: &Expr,
    errors: &mut Errors,
) {
    let elements: Vec<_> = elements.into_iter().collect();
    if elements.is_empty() {
        errors.at(
            array,
            "the array is empty; add an address, or remove `listen`",
        );
    }
    let known = elements
        .iter()
        .filter_map(|element| Some((*element, check_element(element, errors)?)));
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
fn check_protocols(value: &Expr, errors: &mut Errors) {
    let Expr::Array(array) = bare(value) else {
        return;
    };
    let names: Option<Vec<String>> = array.elems.iter().map(known_text).collect();
    for element in &array.elems {
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
        report(value, protocols::check(names), errors);
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

    fn verdict(kind: Kind, text: &str) -> String {
        let value = syn::parse_str(text).expect("an expression");
        let mut errors = Errors::default();
        check(kind, &value, &mut errors);
        errors.into_tokens().to_string()
    }

    #[test]
    fn valid_literals_pass() {
        for (kind, text) in [
            (Kind::Workers, "4"),
            (Kind::Workers, "0x10"),
            (Kind::Workers, "4usize"),
            (Kind::Workers, "(\"auto\")"),
            (Kind::Count, "1_000"),
            (Kind::Duration, "\"1m30s\""),
            (Kind::Duration, "r\"5s\""),
            (Kind::Addresses, "\"[::1]:80\""),
            (Kind::Addresses, "[\"a=:80\", \":81\"]"),
            (Kind::Addresses, "\"a=:80,:81\""),
            (Kind::Window, "\"forever\""),
            (Kind::Window, "\"1m\""),
            (Kind::Network, "\"tcp6\""),
            (Kind::Flag, "true"),
            (Kind::Flag, "\"true\""),
            (Kind::Count, "\"8\""),
            (Kind::Workers, "\"auto-1\""),
            (Kind::Pem, "\"/etc/ssl/key.pem\""),
            (Kind::Pem, "b\"-----BEGIN\""),
            (Kind::Pem, "include_bytes!(\"key.pem\")"),
            (Kind::Protocols, "\"h2,http/1.1\""),
            (Kind::Protocols, "[\"h2\", OTHER]"),
            (Kind::Code, "|child| drop(child)"),
            (Kind::Code, "hooks::spawned"),
        ] {
            assert_eq!(verdict(kind, text), "", "{text}");
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
            for kind in [
                Kind::Addresses,
                Kind::Workers,
                Kind::Count,
                Kind::Duration,
                Kind::Window,
                Kind::Network,
                Kind::Flag,
                Kind::Prefix,
                Kind::Code,
            ] {
                assert_eq!(verdict(kind, text), "", "{text}");
            }
        }
        assert_eq!(
            verdict(Kind::Addresses, "[\"a=:80\", second(), \"a=:81\"]"),
            ""
        );
    }

    #[test]
    fn each_mistake_is_reported() {
        for (kind, text, message) in [
            (Kind::Workers, "10001", "'10001' is too many workers"),
            (
                Kind::Workers,
                "-1",
                "or a number from 0 to 10000, found a negative number",
            ),
            (Kind::Workers, "true", "found a boolean"),
            (Kind::Workers, "4.0", "found a floating-point number"),
            (Kind::Workers, "[4]", "found an array"),
            (
                Kind::Count,
                "b\"8\"",
                "expected a number from 0 to 1000000, found a byte string",
            ),
            (Kind::Count, "\"often\"", "'often' is not a number"),
            (Kind::Count, "99999999999999999999999999", "is too large"),
            (
                Kind::Duration,
                "5",
                "found a number; did you mean \\\"5s\\\"?",
            ),
            (
                Kind::Duration,
                "5s",
                "found a number; put it in quotes: \\\"5s\\\"",
            ),
            (Kind::Duration, "\"5\"", "has no unit after 5"),
            (Kind::Duration, "|| 5", "found a closure"),
            (
                Kind::Window,
                "60",
                "found a number; did you mean \\\"60s\\\"?",
            ),
            (Kind::Window, "\"ever\"", "or \\\"forever\\\""),
            (Kind::Network, "\"udp\"", "is not a network"),
            (Kind::Network, "4", "found a number"),
            (Kind::Flag, "\"yes\"", "'yes' is neither 'true' nor 'false'"),
            (Kind::Flag, "1", "found a number"),
            (
                Kind::Code,
                "\"f\"",
                "expected a function or a closure, found a string",
            ),
            (Kind::Addresses, "8080", "found a number"),
            (Kind::Addresses, "[]", "the array is empty"),
            (Kind::Addresses, "[\":80\", 'x']", "found a character"),
            (
                Kind::Addresses,
                "[\":80\", \"listener0=:81\"]",
                "are both named 'listener0'",
            ),
            (Kind::Addresses, "\"8080\"", "is only a port"),
            (Kind::Addresses, "[\":80,:81\"]", "contains a comma"),
            (Kind::Addresses, "\"a=:80,a=:81\"", "are both named 'a'"),
            (Kind::Prefix, "\"myapp\"", "contains invalid characters"),
            (Kind::Prefix, "4", "expected a prefix such as"),
            (
                Kind::Pem,
                "\"-----BEGIN PRIVATE KEY-----\"",
                "pass PEM text as bytes",
            ),
            (
                Kind::Pem,
                "4",
                "expected the path of a PEM file, or its bytes, found a number",
            ),
            (Kind::Protocols, "[\"h2\", \"h2\"]", "'h2' is listed twice"),
            (Kind::Protocols, "[\"h2\", 'x']", "found a character"),
        ] {
            let found = verdict(kind, text);
            assert!(found.contains(message), "{text}: {found}");
            assert_eq!(found.matches("compile_error").count(), 1, "{found}");
        }
    }
}
