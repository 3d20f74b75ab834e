//! The grammar of `reuseport`: how many workers accept from the sockets of each slot.
//!
//! It does not know the listeners.

use std::fmt;
use std::num::NonZeroUsize;

use crate::count::digits;
use crate::error::quote;
use crate::workers::MAX_WORKERS;
use crate::{IntoOption, Literals, OptionValue, ParseError};

/// Describes the values, as a text that can follow "expected".
const ALLOWED: &str = "`true`, `false`, \"auto\" or a number of workers from 1 to 10000";

/// How the workers share the listening sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reuseport {
    /// The kind of `main` decides for each listener.
    Auto,
    /// All workers share one socket per address.
    Off,
    /// Each slot has a socket per address. This number of workers accepts from it; at most
    /// [`MAX_WORKERS`].
    Width(NonZeroUsize),
}

impl Reuseport {
    /// The number of workers that `true` stands for.
    pub const TRUE: Self = Self::Width(NonZeroUsize::MIN.saturating_add(1));
}

impl OptionValue for Reuseport {
    const EXPECTED: &'static str = ALLOWED;
    const LITERALS: Literals = Literals::FlagOrNumber;
    const TEXTS: &'static str = r#"
true |
false |
auto |
1 |
10000 |
| '' is not a value of reuseport, expected `true`, `false`, "auto" or a number of workers from 1 to 10000
0 | '0' is not a value of reuseport, expected …
yes | 'yes' is not a value of reuseport, expected …
10001 | '10001' is not a value of reuseport, expected …
-1 | '-1' is not a value of reuseport, expected …
"#;

    /// Reads `true`, `false`, `auto` or a number of workers.
    ///
    /// # Errors
    ///
    /// Any other text. `0` is one, because it could mean `false` or no worker.
    fn parse(text: &str) -> Result<Self, ParseError> {
        let width = || {
            let count = NonZeroUsize::new(usize::try_from(digits(text)?).ok()?)?;
            (count.get() <= MAX_WORKERS).then_some(Self::Width(count))
        };
        let value = match text {
            "auto" => Some(Self::Auto),
            "false" => Some(Self::Off),
            "true" => Some(Self::TRUE),
            _ => width(),
        };
        value.ok_or_else(|| {
            let text = quote(text);
            ParseError::new(format!(
                "{text} is not a value of reuseport, expected {ALLOWED}"
            ))
        })
    }

    fn display(&self) -> String {
        self.to_string()
    }
}

/// As [`OptionValue::parse`] reads it; `true` is written as its number.
impl fmt::Display for Reuseport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("false"),
            Self::Width(count) => write!(f, "{count}"),
        }
    }
}

impl From<Reuseport> for String {
    fn from(reuseport: Reuseport) -> Self {
        reuseport.to_string()
    }
}

impl IntoOption<Reuseport> for bool {
    fn into_option(self) -> Result<Reuseport, ParseError> {
        Ok(if self {
            Reuseport::TRUE
        } else {
            Reuseport::Off
        })
    }
}

impl IntoOption<Reuseport> for usize {
    fn into_option(self) -> Result<Reuseport, ParseError> {
        Reuseport::parse(&self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parsed_value_is_written_as_it_was_read() {
        for text in ["auto", "false", "1", "2", "10000"] {
            assert_eq!(Reuseport::parse(text).expect(text).to_string(), text);
        }
        assert_eq!(Reuseport::parse("true"), Reuseport::parse("2"));
    }

    #[test]
    fn flags_and_numbers_of_the_code_mean_the_same_as_texts() {
        assert_eq!(true.into_option(), Reuseport::parse("true"));
        assert_eq!(false.into_option(), Reuseport::parse("false"));
        assert_eq!(3.into_option(), Reuseport::parse("3"));
        assert!(IntoOption::<Reuseport>::into_option(0).is_err());
        assert!(ALLOWED.ends_with(&MAX_WORKERS.to_string()));
    }
}
