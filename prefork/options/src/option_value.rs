//! The kinds of options: the type of an option's values is its kind.
//!
//! Each kind is a file with a type, its grammar and its conversions. A row of the table names the
//! type. This file does not know the kinds.

use crate::ParseError;

/// The type of the values of an option.
pub trait OptionValue: Sized {
    /// Describes the values, as a text that can follow "expected".
    const EXPECTED: &'static str;

    /// The literals that the attribute accepts.
    const LITERALS: Literals = Literals::Text;

    /// Whether a value may be a secret, so that no message shows a text that is not valid UTF-8.
    const IS_SECRET: bool = false;

    /// Texts for the tests of the attribute, the builder and the environment, one a line.
    ///
    /// A line is `text | error`. The error is empty if the text is valid; `…` at its end is any
    /// text.
    const TEXTS: &'static str;

    /// Reads a text.
    ///
    /// # Errors
    ///
    /// The text is not a value of this kind. The error names what is allowed.
    fn parse(text: &str) -> Result<Self, ParseError>;

    /// Reads a text that is one element of an array.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    fn parse_element(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }

    /// Checks a text as far as the attribute can, at compile time.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), and conflicts within the value.
    fn check(text: &str) -> Result<(), ParseError> {
        Self::parse(text).map(drop)
    }

    /// Writes the value in the syntax that [`parse`](Self::parse) reads.
    fn display(&self) -> String;

    /// Returns a number that differs between two values, except by chance, and reveals neither.
    fn digest(&self) -> u32 {
        digest(self.display().as_bytes())
    }
}

/// The 32 bits of FNV-1a: the same in every version and on every machine.
pub(crate) fn digest(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// The literals that the attribute accepts for an option. All but functions can be strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Literals {
    /// A string.
    Text,
    /// A string or a number.
    Number,
    /// A string with a unit; for a number, the error suggests one with the unit `s`.
    Duration,
    /// A string or a boolean.
    Flag,
    /// A string, a boolean or a number.
    FlagOrNumber,
    /// A string or a byte string.
    Bytes,
    /// A string or an array of addresses.
    Addresses,
    /// A string or an array of names of protocols.
    Protocols,
    /// A closure.
    Function,
}

/// A value that can be converted to an option of type `T`.
///
/// | option takes | written as |
/// |---|---|
/// | addresses | `"[name=][tls://]host[:port]"`, `"unix:/path"` and the other forms of `listen`, or several separated by commas; a `SocketAddr`; an array or a `Vec` of single addresses |
/// | workers | a `usize`, a text such as `"auto"`, `"auto-1"`, `"50%"`, `"4"` |
/// | a count | a `u32`, a text such as `"8"` |
/// | a duration | a [`Duration`](std::time::Duration), a text such as `"5s"`, `"250ms"`, `"1m30s"` |
/// | a window | a [`Duration`](std::time::Duration), a text such as `"1m"`, or `"forever"` |
/// | a part of the workers | a `usize`, a text such as `"25%"`, `"4"` |
/// | a network | `"tcp"`, `"tcp4"`, `"tcp6"` |
/// | a flag | a `bool`, `"true"`, `"false"` |
/// | a way to share sockets | a `bool`, a `usize`, a text such as `"auto"`, `"3"` |
/// | a prefix | `"MYAPP"` |
/// | threads | a `usize`, a [`NonZeroUsize`](std::num::NonZeroUsize), a text such as `"4"` |
/// | PEM texts | the path of a file as a text, a `&Path` or a `PathBuf`; the bytes as a `&'static [u8]` (`include_bytes!`) or a `Vec<u8>` |
/// | protocols | `"h2,http/1.1"`; an array or a `Vec` of single names |
///
/// A text is a `&str` or a `String`. It has the same meaning as in the environment, so a program
/// can pass on a text from a flag or a file. There is one difference: an empty variable counts as
/// unset, but an empty text is an error.
///
/// Each option takes only one integer type, so `workers = 4` needs no suffix.
///
/// The trait is sealed: only this crate implements it.
#[diagnostic::on_unimplemented(
    message = "this option does not accept `{Self}`",
    label = "not a value of this option",
    note = "see `prefork::IntoOption` for the values that each option accepts"
)]
pub trait IntoOption<T>: Sealed {
    /// Converts the value.
    ///
    /// # Errors
    ///
    /// The value is invalid. The error names what is allowed.
    fn into_option(self) -> Result<T, ParseError>;

    /// Converts one element of an array, where a text is a single element.
    ///
    /// # Errors
    ///
    /// As [`into_option`](Self::into_option).
    #[doc(hidden)]
    fn into_element(self) -> Result<T, ParseError>
    where
        Self: Sized,
    {
        self.into_option()
    }
}

impl<T: OptionValue> IntoOption<T> for &str {
    fn into_option(self) -> Result<T, ParseError> {
        T::parse(self)
    }

    fn into_element(self) -> Result<T, ParseError> {
        T::parse_element(self)
    }
}

impl<T: OptionValue> IntoOption<T> for String {
    fn into_option(self) -> Result<T, ParseError> {
        T::parse(&self)
    }

    fn into_element(self) -> Result<T, ParseError> {
        T::parse_element(&self)
    }
}

/// Types of values in code. A kind that takes another type implements it there.
///
/// It is public, but cannot be named outside this crate.
pub trait Sealed {}

impl Sealed for &str {}
impl Sealed for String {}
impl<T> Sealed for Vec<T> {}
impl<T, const N: usize> Sealed for [T; N] {}
impl Sealed for usize {}

#[cfg(test)]
mod tests {
    use crate::count::MAX_COUNT;
    use crate::threads::MAX_THREADS;
    use crate::workers::MAX_WORKERS;
    use crate::{Row, TABLE};

    #[test]
    fn descriptions_contain_the_limits_of_the_grammars() {
        for (option, limit) in [
            ("workers", MAX_WORKERS.to_string()),
            ("recover_threshold", MAX_COUNT.to_string()),
            ("runtime_threads", MAX_THREADS.to_string()),
        ] {
            let row = Row::find(option).expect(option);
            assert!(row.expected.ends_with(&limit), "{row:?}");
        }
    }

    #[test]
    fn every_kind_has_valid_and_invalid_texts() {
        for row in TABLE.iter().filter(|row| !row.is_function()) {
            assert!(row.cases().any(|(_, error)| error.is_empty()), "{row:?}");
            assert!(row.cases().any(|(_, error)| !error.is_empty()), "{row:?}");
        }
    }
}
