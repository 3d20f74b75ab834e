//! The conversions from Rust values and texts to the values of options.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prefork_options::{
    Address, Network, ParseError, Pem, Prefix, Protocols, Window, Workers, address, count,
    duration, flag, list, network, pem, prefix, protocols, threads, window, workers,
};

/// A value that can be converted to an option of type `T`.
///
/// | option takes | written as |
/// |---|---|
/// | addresses | `"[name=][tls://]host[:port]"`, or several separated by commas; a `SocketAddr`; an array or a `Vec` of single addresses |
/// | workers | a `usize`, a text such as `"auto"`, `"auto-1"`, `"50%"`, `"4"` |
/// | a count | a `u32`, a text such as `"8"` |
/// | a duration | a [`Duration`], a text such as `"5s"`, `"250ms"`, `"1m30s"` |
/// | a window | a [`Duration`], a text such as `"1m"`, or `"forever"` |
/// | a network | `"tcp"`, `"tcp4"`, `"tcp6"` |
/// | a flag | a `bool`, `"true"`, `"false"` |
/// | a prefix | `"MYAPP"` |
/// | threads | a `usize`, a [`NonZeroUsize`], a text such as `"4"` |
/// | PEM texts | the path of a file as a text, a `&Path` or a `PathBuf`; the bytes as a `&'static [u8]` (`include_bytes!`) or a `Vec<u8>` |
/// | protocols | `"h2,http/1.1"`; an array or a `Vec` of single names |
///
/// A text is a `&str` or a `String`. It has the same meaning as in the environment, so a program
/// can pass on a text from a flag or a file. There is one difference: an empty variable counts as
/// unset, but an empty text is an error.
///
/// Each option takes only one integer type, so `workers = 4` needs no suffix.
#[diagnostic::on_unimplemented(
    message = "this option does not accept `{Self}`",
    label = "not a value of this option",
    note = "see `prefork::IntoOption` for the values that each option accepts"
)]
pub trait IntoOption<T> {
    /// Converts the value.
    ///
    /// # Errors
    /// The value is invalid. The error names what is allowed.
    fn into_option(self) -> Result<T, ParseError>;

    /// Converts one element of an array, where a text is a single element.
    #[doc(hidden)]
    fn into_element(self) -> Result<T, ParseError>
    where
        Self: Sized,
    {
        self.into_option()
    }
}

impl IntoOption<Workers> for usize {
    fn into_option(self) -> Result<Workers, ParseError> {
        workers::check(self).map(Workers::Count)
    }
}

impl IntoOption<Workers> for &str {
    fn into_option(self) -> Result<Workers, ParseError> {
        workers::parse(self)
    }
}

impl IntoOption<Workers> for String {
    fn into_option(self) -> Result<Workers, ParseError> {
        workers::parse(&self)
    }
}

impl IntoOption<u32> for u32 {
    fn into_option(self) -> Result<u32, ParseError> {
        count::check(self)
    }
}

impl IntoOption<u32> for &str {
    fn into_option(self) -> Result<u32, ParseError> {
        count::parse(self)
    }
}

impl IntoOption<u32> for String {
    fn into_option(self) -> Result<u32, ParseError> {
        count::parse(&self)
    }
}

impl IntoOption<Duration> for Duration {
    fn into_option(self) -> Result<Duration, ParseError> {
        duration::check(self)
    }
}

impl IntoOption<Duration> for &str {
    fn into_option(self) -> Result<Duration, ParseError> {
        duration::parse(self)
    }
}

impl IntoOption<Duration> for String {
    fn into_option(self) -> Result<Duration, ParseError> {
        duration::parse(&self)
    }
}

impl IntoOption<Window> for Duration {
    fn into_option(self) -> Result<Window, ParseError> {
        duration::check(self).map(Window::Sliding)
    }
}

impl IntoOption<Window> for &str {
    fn into_option(self) -> Result<Window, ParseError> {
        window::parse(self)
    }
}

impl IntoOption<Window> for String {
    fn into_option(self) -> Result<Window, ParseError> {
        window::parse(&self)
    }
}

impl IntoOption<Network> for &str {
    fn into_option(self) -> Result<Network, ParseError> {
        network::parse(self)
    }
}

impl IntoOption<Network> for String {
    fn into_option(self) -> Result<Network, ParseError> {
        network::parse(&self)
    }
}

impl IntoOption<NonZeroUsize> for usize {
    fn into_option(self) -> Result<NonZeroUsize, ParseError> {
        threads::check(self)
    }
}

impl IntoOption<NonZeroUsize> for NonZeroUsize {
    fn into_option(self) -> Result<NonZeroUsize, ParseError> {
        threads::check(self.get())
    }
}

impl IntoOption<NonZeroUsize> for &str {
    fn into_option(self) -> Result<NonZeroUsize, ParseError> {
        threads::parse(self)
    }
}

impl IntoOption<NonZeroUsize> for String {
    fn into_option(self) -> Result<NonZeroUsize, ParseError> {
        threads::parse(&self)
    }
}

impl IntoOption<bool> for bool {
    fn into_option(self) -> Result<bool, ParseError> {
        Ok(self)
    }
}

impl IntoOption<bool> for &str {
    fn into_option(self) -> Result<bool, ParseError> {
        flag::parse(self)
    }
}

impl IntoOption<bool> for String {
    fn into_option(self) -> Result<bool, ParseError> {
        flag::parse(&self)
    }
}

impl IntoOption<Prefix> for &str {
    fn into_option(self) -> Result<Prefix, ParseError> {
        prefix::parse(self)
    }
}

impl IntoOption<Prefix> for String {
    fn into_option(self) -> Result<Prefix, ParseError> {
        prefix::parse(&self)
    }
}

impl IntoOption<Pem> for &str {
    fn into_option(self) -> Result<Pem, ParseError> {
        pem::parse(self)
    }
}

impl IntoOption<Pem> for String {
    fn into_option(self) -> Result<Pem, ParseError> {
        pem::parse(&self)
    }
}

impl IntoOption<Pem> for &Path {
    fn into_option(self) -> Result<Pem, ParseError> {
        self.to_path_buf().into_option()
    }
}

impl IntoOption<Pem> for PathBuf {
    fn into_option(self) -> Result<Pem, ParseError> {
        match self.to_str() {
            Some(text) => pem::parse(text),
            // A path need not be UTF-8 to be opened.
            None => Ok(Pem::Path(self)),
        }
    }
}

impl IntoOption<Pem> for &'static [u8] {
    fn into_option(self) -> Result<Pem, ParseError> {
        Ok(Pem::Bytes(Cow::Borrowed(self)))
    }
}

impl<const N: usize> IntoOption<Pem> for &'static [u8; N] {
    fn into_option(self) -> Result<Pem, ParseError> {
        self.as_slice().into_option()
    }
}

impl IntoOption<Pem> for Vec<u8> {
    fn into_option(self) -> Result<Pem, ParseError> {
        Ok(Pem::Bytes(Cow::Owned(self)))
    }
}

impl IntoOption<Protocols> for &str {
    fn into_option(self) -> Result<Protocols, ParseError> {
        protocols::parse(self)
    }
}

impl IntoOption<Protocols> for String {
    fn into_option(self) -> Result<Protocols, ParseError> {
        protocols::parse(&self)
    }
}

impl<T: Into<String>, const N: usize> IntoOption<Protocols> for [T; N] {
    fn into_option(self) -> Result<Protocols, ParseError> {
        protocols::check(self.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<String>> IntoOption<Protocols> for Vec<T> {
    fn into_option(self) -> Result<Protocols, ParseError> {
        protocols::check(self.into_iter().map(Into::into).collect())
    }
}

impl IntoOption<Vec<Address>> for &str {
    fn into_option(self) -> Result<Vec<Address>, ParseError> {
        list::read(self)
    }

    fn into_element(self) -> Result<Vec<Address>, ParseError> {
        Ok(vec![address::parse(self)?])
    }
}

impl IntoOption<Vec<Address>> for String {
    fn into_option(self) -> Result<Vec<Address>, ParseError> {
        self.as_str().into_option()
    }

    fn into_element(self) -> Result<Vec<Address>, ParseError> {
        self.as_str().into_element()
    }
}

impl IntoOption<Vec<Address>> for SocketAddr {
    fn into_option(self) -> Result<Vec<Address>, ParseError> {
        self.to_string().into_option()
    }
}

impl<A: IntoOption<Vec<Address>>, const N: usize> IntoOption<Vec<Address>> for [A; N] {
    fn into_option(self) -> Result<Vec<Address>, ParseError> {
        join(self)
    }
}

impl<T: IntoOption<Vec<Address>>> IntoOption<Vec<Address>> for Vec<T> {
    fn into_option(self) -> Result<Vec<Address>, ParseError> {
        join(self)
    }
}

fn join<A: IntoOption<Vec<Address>>>(
    values: impl IntoIterator<Item = A>,
) -> Result<Vec<Address>, ParseError> {
    let mut addresses = Vec::new();
    for value in values {
        addresses.append(&mut value.into_element()?);
    }
    Ok(addresses)
}
