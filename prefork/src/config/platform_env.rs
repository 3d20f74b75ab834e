//! The variables of platforms: the number of workers and the port.
//!
//! They count only if the program leaves the value open and no source with higher precedence sets
//! it.

use std::ffi::OsStr;

use prefork_options::{Address, OptionValue, ParseError, Workers, endpoint, quote};

use super::environment::{CONCURRENCY, PORT, not_utf8};
use super::layers::{Layer, Origin, ProgramSource};
use super::{Environment, OptionLayers};

/// Applies `WEB_CONCURRENCY` if the program sets no `workers` or `auto`.
///
/// `auto` set by the operator or by `configure` takes precedence. Returns a warning if the variable
/// has another value than `workers` and is ignored.
pub(super) fn apply_web_concurrency(
    options: &mut OptionLayers,
    environment: &Environment,
    idle: &mut Vec<String>,
) -> Option<String> {
    let text = environment.concurrency.as_ref()?;
    // An invalid value of `workers` takes precedence too.
    if !options.workers.is_valid() {
        return None;
    }
    let is_open = match options.workers.last() {
        None => true,
        Some(last) => last.value == Workers::Auto && last.origin.is_declaration(),
    };
    let read = text.to_str().map(Workers::parse);
    if !is_open {
        idle.push(format!("{CONCURRENCY}={}: workers is set", quoted(text)));
        let last = options.workers.last()?;
        let agrees = text.is_empty() || matches!(read, Some(Ok(read)) if read == last.value);
        return (!agrees).then(|| overridden_workers(text, last));
    }
    if let Some(workers) = read_platform(options, CONCURRENCY, text, read) {
        options
            .workers
            .push(workers, Origin::Variable(CONCURRENCY.to_owned()));
    }
    None
}

fn overridden_workers(text: &OsStr, Layer { value, origin }: &Layer<Workers>) -> String {
    let help = match origin {
        Origin::Variable(name) => format!("remove {name}"),
        Origin::Program(ProgramSource::Configure, _) => {
            "do not set workers in configure".to_owned()
        }
        Origin::Program(..) | Origin::Default => "write workers = \"auto\"".to_owned(),
    };
    let text = quoted(text);
    format!(
        "ignoring {CONCURRENCY}={text}: workers = {value} ({origin}) takes precedence; to use {CONCURRENCY}, {help}"
    )
}

/// Returns a warning if `PORT` is ignored because every listener has another port.
pub(super) fn overridden_port(options: &OptionLayers, environment: &Environment) -> Option<String> {
    let text = environment.port.as_ref().filter(|text| !text.is_empty())?;
    let listen = options.listen.last()?;
    let origin = &listen.origin;
    let port = text.to_str().and_then(|text| endpoint::port(text).ok());
    let is_used =
        |Address { endpoint, .. }: &Address| endpoint.is_open() || endpoint.port() == port;
    if listen.value.iter().any(is_used) {
        return None;
    }
    let has_port = |address: &&Address| address.endpoint.port().is_some();
    let mut open = listen.value.iter().find(has_port)?.clone();
    open.endpoint.set_port(None);
    let text = quoted(text);
    Some(format!(
        "ignoring {PORT}={text}: listen ({origin}) sets every port; to use {PORT}, omit the port, as in '{open}'"
    ))
}

/// Reads `PORT` if a listener has no port.
pub(super) fn apply_port(
    options: &mut OptionLayers,
    environment: &Environment,
    idle: &mut Vec<String>,
) -> Option<u16> {
    let text = environment.port.as_ref()?;
    // If the list is invalid, it is unknown whether a listener has a port.
    if !options.listen.is_valid() {
        return None;
    }
    let listen = options.listen.value().map_or(&[][..], Vec::as_slice);
    let is_open = |address: &Address| address.endpoint.is_open();
    if !listen.iter().any(is_open) {
        let why = if listen.is_empty() {
            "no listener is configured"
        } else {
            "every listener has a port"
        };
        idle.push(format!("{PORT}={}: {why}", quoted(text)));
        return None;
    }
    let read = text.to_str().map(endpoint::port);
    // An invalid port is one error, not one for each listener.
    read_platform(options, PORT, text, read).or(Some(0))
}

/// An ignored variable may contain anything, so its value is quoted and shortened.
fn quoted(text: &OsStr) -> String {
    quote(&text.to_string_lossy())
}

fn read_platform<T>(
    options: &mut OptionLayers,
    variable: &str,
    text: &OsStr,
    read: Option<Result<T, ParseError>>,
) -> Option<T> {
    let Some(read) = read else {
        options.add_error(variable, &not_utf8(text));
        return None;
    };
    options.check(variable, read)
}
