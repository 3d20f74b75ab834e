//! The text of `PREFORK_EXPLAIN`: each option with its value and origin, in columns.
//!
//! It knows how values are written; it does not know how they are resolved.

use std::fmt::Write;

use prefork_options::{OptionValue, Row, one_line};

use super::config::Effective;
use super::layers::{Layer, Origin};
use super::{Config, OptionLayers};

/// The value and origin of one option, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OptionRow {
    pub(crate) name: &'static str,
    pub(crate) text: String,
    pub(crate) origin: String,
}

/// The effective configuration, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OptionReport {
    /// In the order of the table.
    pub(crate) rows: Vec<OptionRow>,
    /// Values without effect, a line each.
    pub(crate) ignored: Vec<String>,
}

macro_rules! define_values {
    (
        values { $( $(#[doc = $doc:expr])* $name:ident : $kind:ty { $($row:tt)* } )* }
        code { $( $(#[doc = $code_doc:expr])* $code:ident { $($code_row:tt)* } )* }
    ) => {
        /// Every option with its value and origin. Overridden values are added to the ignored
        /// lines.
        pub(super) fn rows(config: &Config, options: &OptionLayers, ignored: &mut Vec<String>) -> Vec<OptionRow> {
            $(
                let origin = options.$name.origin();
                ignored.extend(
                    options.$name.overridden().iter().map(|layer| overridden(stringify!($name), layer, &origin)),
                );
            )*
            vec![
                $(value(
                    stringify!($name),
                    Effective::<$kind>::display(&config.$name),
                    options.$name.value().map(OptionValue::display),
                    &options.$name.origin(),
                ),)*
                $(function(stringify!($code), options),)*
            ]
        }
    };
}

prefork_options::options! { define_values }

/// A row for an option with a value. A relative number of workers such as `50%` is shown with its
/// result.
fn value(name: &'static str, effective: String, set: Option<String>, origin: &Origin) -> OptionRow {
    let text = match set {
        Some(set) if name == "workers" && set != effective => format!("{effective} ({set})"),
        _ if effective.is_empty() => default_of(name),
        _ => effective,
    };
    let origin = origin.to_string();
    OptionRow { name, text, origin }
}

fn function(name: &'static str, options: &OptionLayers) -> OptionRow {
    let set = options.callbacks.iter().find(|(other, _)| *other == name);
    let (text, origin) = match set {
        Some((_, origin)) => ("a function".to_owned(), origin),
        None => (default_of(name), &Origin::Default),
    };
    let origin = origin.to_string();
    OptionRow { name, text, origin }
}

fn default_of(name: &str) -> String {
    Row::find(name).map_or("", |row| row.default).to_owned()
}

fn overridden<T: OptionValue>(name: &str, layer: &Layer<T>, by: &Origin) -> String {
    let Layer { value, origin } = layer;
    format!(
        "{name} = {} ({origin}): overridden by {by}",
        value.display()
    )
}

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
    let rows = report.rows.iter();
    let rows = rows.map(|row| [row.name, &row.text, &row.origin]);
    table(&mut text, ["option", "value", "origin"], rows);
    if !listeners.is_empty() {
        text.push('\n');
        let rows = listeners
            .iter()
            .map(|(name, address)| [&**name, &**address]);
        table(&mut text, ["listener", "address"], rows);
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

fn table<'a, const N: usize>(
    text: &mut String,
    head: [&'a str; N],
    rows: impl Iterator<Item = [&'a str; N]>,
) {
    let rows: Vec<_> = [head].into_iter().chain(rows).collect();
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
