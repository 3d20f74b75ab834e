//! The text of `PREFORK_EXPLAIN`, in columns.
//!
//! It formats values, origins and addresses; it does not resolve them.

use std::fmt::Write;

use prefork_options::one_line;

use super::OptionReport;

/// Formats the options, listeners, certificate, warnings and ignored values.
///
/// The result depends only on the arguments.
pub(crate) fn render(
    report: &OptionReport,
    listeners: &[(String, String)],
    certificate: Option<&str>,
    warnings: &[String],
) -> String {
    let mut text = String::new();
    let values = report.rows.iter();
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
        .map(|(name, address)| [name.clone(), address.clone()])
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
        report.ignored.iter().map(String::as_str),
    );
    text
}

fn lines<'a>(text: &mut String, head: &str, lines: impl IntoIterator<Item = &'a str>) {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_some() {
        // Writing to a string does not fail.
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

/// Escapes control characters: a variable that was not read may contain any.
fn escape(text: &str) -> String {
    one_line(text, usize::MAX)
}

#[cfg(test)]
mod tests {
    use prefork_options::Prefix;

    use super::*;
    use crate::config::{Environment, OptionLayers, resolve};

    #[test]
    fn the_text_has_columns_and_sections() {
        let pairs = [
            ("PREFORK_WORKERS", "auto-1"),
            ("PREFORK_LISTEN", "http=0.0.0.0"),
            ("PORT", "5000"),
            ("WEB_CONCURRENCY", "4\n"),
        ];
        let pairs = pairs.map(|(name, value)| (name.into(), value.into()));
        let environment = Environment::read(Prefix::default(), pairs);
        let mut options = OptionLayers::default();
        options.apply_env(&environment);
        let mut report = resolve(options, &environment, || 8).report(&environment);
        let shown = [
            "listen",
            "network",
            "workers",
            "recover_threshold",
            "logger",
        ];
        report.rows.retain(|value| shown.contains(&value.name));
        let listeners = [("http".to_owned(), "0.0.0.0:5000".to_owned())];
        let certificate = "for localhost; valid until 2030-01-01T00:00:00Z";
        let text = render(
            &report,
            &listeners,
            Some(certificate),
            &["listener 'http' is not used".to_owned()],
        );
        let expected = "\
option             value                  origin
listen             http=0.0.0.0:5000      PREFORK_LISTEN, port from PORT
network            family of the address  default
workers            7 (auto-1)             PREFORK_WORKERS
recover_threshold  8                      default
logger             stderr                 default

listener  address
http      0.0.0.0:5000

certificate
for localhost; valid until 2030-01-01T00:00:00Z

warning
listener 'http' is not used

ignored
WEB_CONCURRENCY='4\\n': workers is set
";
        assert_eq!(text, expected);
    }
}
