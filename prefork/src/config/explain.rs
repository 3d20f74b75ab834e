//! What holds and why, as text for an operator: another reader of what was settled.
//!
//! It knows values and origins; the addresses it is told, since nothing is resolved here.

use std::fmt::Write;

use prefork_options::one_line;

use super::InWords;

/// Every option with value and origin, the listeners as they would be bound, the certificate that they would show, what a start would warn of, and what was
/// ignored. The same for the same facts, in columns.
pub(crate) fn explain(
    settled: &InWords,
    listeners: &[(String, String)],
    certificate: Option<&str>,
    warnings: &[String],
) -> String {
    let mut text = String::new();
    let values = settled.values.iter();
    let rows = values.map(|value| {
        [
            value.name.to_owned(),
            value.text.clone(),
            value.origin.clone(),
        ]
    });
    table(&mut text, &["option", "value", "origin"], rows.collect());
    let rows: Vec<[String; 2]> = listeners
        .iter()
        .map(|(name, place)| [name.clone(), place.clone()])
        .collect();
    if !rows.is_empty() {
        text.push('\n');
        table(&mut text, &["listener", "address"], rows);
    }
    lines(&mut text, "certificate", certificate);
    lines(&mut text, "warning", warnings.iter().map(String::as_str));
    lines(
        &mut text,
        "ignored",
        settled.ignored.iter().map(String::as_str),
    );
    text
}

fn lines<'a>(text: &mut String, head: &str, lines: impl IntoIterator<Item = &'a str>) {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_some() {
        // A write to a string does not fail.
        let _ = writeln!(text, "\n{head}");
    }
    for line in lines {
        let _ = writeln!(text, "{}", escape(line));
    }
}

fn table<const N: usize>(text: &mut String, head: &[&str; N], rows: Vec<[String; N]>) {
    let head = head.map(str::to_owned);
    let rows: Vec<[String; N]> = [head].into_iter().chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = width(column).unwrap_or(0);
            let _ = write!(line, "{:width$}  ", escape(cell));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// Values of variables that were not read may hold anything.
fn escape(text: &str) -> String {
    one_line(text, usize::MAX)
}

#[cfg(test)]
mod tests {
    use prefork_options::Prefix;

    use super::*;
    use crate::config::{Environment, Options, settle};

    #[test]
    fn it_is_readable_and_the_same_for_the_same_facts() {
        let pairs = [
            ("PREFORK_WORKERS", "auto-1"),
            ("PREFORK_LISTEN", "http=0.0.0.0"),
            ("PORT", "5000"),
            ("WEB_CONCURRENCY", "4\n"),
        ];
        let pairs = pairs.map(|(name, value)| (name.into(), value.into()));
        let environment = Environment::read(Prefix::default(), pairs);
        let mut options = Options::default();
        options.overlay(&environment);
        let mut settled = settle(options, &environment, || 8).in_words(&environment);
        let shown = [
            "listen",
            "network",
            "workers",
            "recover_threshold",
            "logger",
        ];
        settled.values.retain(|value| shown.contains(&value.name));
        let listeners = [("http".to_owned(), "0.0.0.0:5000".to_owned())];
        let certificate = "for localhost; good until 2030-01-01T00:00:00Z";
        let text = explain(
            &settled,
            &listeners,
            Some(certificate),
            &["nobody takes it".to_owned()],
        );
        let expected = "\
option             value                  origin
listen             http=0.0.0.0:5000      PREFORK_LISTEN, port by PORT
network            what the address says  default
workers            7 (auto-1)             PREFORK_WORKERS
recover_threshold  8                      default
logger             stderr                 default

listener  address
http      0.0.0.0:5000

certificate
for localhost; good until 2030-01-01T00:00:00Z

warning
nobody takes it

ignored
WEB_CONCURRENCY='4\\n': workers is set
";
        assert_eq!(text, expected);
    }
}
