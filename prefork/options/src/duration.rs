//! The grammar of durations: `5s`, `250ms`, `1m30s`.
//!
//! It has four units and a limit. A bare number is an error, because its unit is ambiguous.
//! Fractions, days and spaces, which other tools allow, are errors too, so that each duration has
//! one obvious spelling.

use std::time::Duration;

use crate::error::quote;
use crate::option_value::Sealed;
use crate::{IntoOption, Literals, OptionValue, ParseError};

/// The longest duration that an option accepts.
pub const MAX_DURATION: Duration = Duration::from_hours(24);

/// A unit, and its length in milliseconds.
type Unit = (&'static str, u64);

/// The units, the largest first, in the order that a text must use.
const UNITS: [Unit; 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl OptionValue for Duration {
    const EXPECTED: &'static str = "a duration such as \"5s\" or \"250ms\"";
    const LITERALS: Literals = Literals::Duration;
    const TEXTS: &'static str = "
0s |
1m30s |
24h |
| '' is empty; expected whole numbers with the units h, m, s, ms in this order, such as '1m30s'
5 | '5' has no unit after 5 (did you mean '5s'?); expected …
-5s | '-5s' does not start with a number; expected …
1.5s | '1.5s' has the unknown unit '.'; expected …
25h | '25h' is too long, expected at most '24h'
";

    /// Reads a duration.
    ///
    /// It consists of whole numbers with the units `h`, `m`, `s`, `ms`, in this order, without spaces.
    ///
    /// # Errors
    ///
    /// Any other text, or a duration longer than [`MAX_DURATION`].
    fn parse(text: &str) -> Result<Self, ParseError> {
        if text.is_empty() {
            return Err(reject(text, "is empty"));
        }
        let mut rest = text;
        let mut allowed = &UNITS[..];
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let (number, unit, remaining) = next_part(rest);
            let number = count_of(text, number, unit)?;
            let (millis, smaller) = unit_of(text, unit, allowed)?;
            // Saturates: all durations beyond the limit get the same error.
            total = total.saturating_add(number.saturating_mul(millis));
            (rest, allowed) = (remaining, smaller);
        }
        check(Duration::from_millis(total)).map_err(|_| too_long(&quote(text)))
    }

    fn display(&self) -> String {
        format(*self)
    }
}

/// Checks the limit of a duration.
///
/// # Errors
///
/// A duration longer than [`MAX_DURATION`].
pub fn check(duration: Duration) -> Result<Duration, ParseError> {
    if duration > MAX_DURATION {
        return Err(too_long(&format!("{duration:?}")));
    }
    Ok(duration)
}

/// Writes a duration in the format that [`OptionValue::parse`] reads.
///
/// Fractions of a millisecond are rounded up, so that only zero is written as zero.
pub fn format(duration: Duration) -> String {
    let mut rest = duration.as_nanos().div_ceil(1_000_000);
    let mut text = String::new();
    for (unit, millis) in UNITS {
        let number = rest / u128::from(millis);
        rest %= u128::from(millis);
        if number > 0 {
            text.push_str(&number.to_string());
            text.push_str(unit);
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

/// Writes a measured duration, rounded down: `12ms`, `5.1s`, `1m30s`, `2h5m`.
pub fn rounded(time: Duration) -> String {
    match time.as_secs() {
        0 => format(Duration::from_millis(u64::from(time.subsec_millis()))),
        seconds @ 1..60 => match time.subsec_millis() / 100 {
            0 => format!("{seconds}s"),
            tenths => format!("{seconds}.{tenths}s"),
        },
        seconds @ 60..3600 => format(Duration::from_secs(seconds)),
        seconds => format(Duration::from_mins(seconds / 60)),
    }
}

/// Splits off the leading digits and the letters after them.
fn next_part(text: &str) -> (&str, &str, &str) {
    let (number, rest) = split_where(text, |c| !c.is_ascii_digit());
    let (unit, rest) = split_where(rest, |c| c.is_ascii_digit());
    (number, unit, rest)
}

fn split_where(text: &str, is_end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(is_end).unwrap_or(text.len()))
}

fn count_of(text: &str, number: &str, unit: &str) -> Result<u64, ParseError> {
    if number.is_empty() {
        return Err(reject(text, "does not start with a number"));
    }
    if unit.is_empty() {
        let hint = format!("has no unit after {number} (did you mean '{number}s'?)");
        return Err(reject(text, &hint));
    }
    Ok(number.parse().unwrap_or(u64::MAX))
}

/// Finds the milliseconds of a unit, and the units that may follow it.
fn unit_of<'a>(
    text: &str,
    unit: &str,
    allowed: &'a [Unit],
) -> Result<(u64, &'a [Unit]), ParseError> {
    if let Some(index) = allowed.iter().position(|(name, _)| *name == unit) {
        return Ok((allowed[index].1, &allowed[index + 1..]));
    }
    if UNITS.iter().any(|(name, _)| *name == unit) {
        return Err(reject(text, "has its units out of order"));
    }
    Err(reject(
        text,
        &format!("has the unknown unit {}", quote(unit)),
    ))
}

fn reject(text: &str, reason: &str) -> ParseError {
    ParseError::new(format!(
        "{} {reason}; expected whole numbers with the units h, m, s, ms in this order, such as '1m30s'",
        quote(text)
    ))
}

fn too_long(shown: &str) -> ParseError {
    ParseError::new(format!(
        "{shown} is too long, expected at most '{}'",
        format(MAX_DURATION)
    ))
}

impl Sealed for Duration {}

impl IntoOption<Self> for Duration {
    fn into_option(self) -> Result<Self, ParseError> {
        check(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measured_time_is_rounded_down() {
        for (milliseconds, expected) in [
            (0, "0s"),
            (3, "3ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (1_290, "1.2s"),
            (59_999, "59.9s"),
            (61_900, "1m1s"),
            (7_319_000, "2h1m"),
        ] {
            let time = Duration::from_millis(milliseconds);
            assert_eq!(rounded(time), expected);
        }
        assert_eq!(rounded(Duration::from_micros(999)), "0s");
    }

    #[test]
    fn a_parsed_duration_is_written_as_it_was_read() {
        for (text, millis) in [
            ("0s", 0),
            ("1ms", 1),
            ("250ms", 250),
            ("5s", 5_000),
            ("1m30s", 90_000),
            ("2h", 7_200_000),
            ("1h1m1s1ms", 3_661_001),
            ("24h", 86_400_000),
        ] {
            assert_eq!(Duration::parse(text), Ok(Duration::from_millis(millis)));
            assert_eq!(format(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn other_spellings_are_normalized() {
        for (text, written) in [
            ("0ms", "0s"),
            ("90s", "1m30s"),
            ("1500ms", "1s500ms"),
            ("007s", "7s"),
        ] {
            assert_eq!(Duration::parse(text).map(format).as_deref(), Ok(written));
        }
    }

    #[test]
    fn each_mistake_has_its_own_message() {
        for (text, reason) in [
            ("", "is empty"),
            ("5", "has no unit after 5 (did you mean '5s'?)"),
            ("1m30", "has no unit after 30 (did you mean '30s'?)"),
            ("s", "does not start with a number"),
            ("-5s", "does not start with a number"),
            ("+5s", "does not start with a number"),
            ("5sec", "has the unknown unit 'sec'"),
            ("5S", "has the unknown unit 'S'"),
            ("5 s", "has the unknown unit ' s'"),
            ("1.5s", "has the unknown unit '.'"),
            ("1d", "has the unknown unit 'd'"),
            ("5\u{b5}s", "has the unknown unit '\u{b5}s'"),
            ("30s1m", "has its units out of order"),
            ("1s1s", "has its units out of order"),
        ] {
            let message = Duration::parse(text).unwrap_err().to_string();
            assert_eq!(
                message,
                format!(
                    "'{text}' {reason}; expected whole numbers with the units h, m, s, ms in this order, \
                     such as '1m30s'"
                )
            );
        }
    }

    #[test]
    fn a_day_is_the_limit() {
        for text in ["24h1ms", "25h", "99999999999999999999999h1m"] {
            let message = Duration::parse(text).unwrap_err().to_string();
            assert_eq!(
                message,
                format!("'{text}' is too long, expected at most '24h'")
            );
        }
        assert_eq!(check(MAX_DURATION), Ok(MAX_DURATION));
        let message = check(Duration::MAX).unwrap_err().to_string();
        assert!(
            message.ends_with("is too long, expected at most '24h'"),
            "{message}"
        );
    }

    #[test]
    fn fractions_of_a_millisecond_are_rounded_up() {
        assert_eq!(format(Duration::from_nanos(1)), "1ms");
        assert_eq!(format(Duration::from_micros(1_500)), "2ms");
    }
}
