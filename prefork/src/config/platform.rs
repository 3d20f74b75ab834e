//! What the platform says to every program: how many workers, which port.
//!
//! It knows when that counts: where the program left it open, and nobody who is nearer to it has decided.

use std::ffi::OsStr;

use prefork_options::{Address, ParseError, Workers, address, quote};

use super::environment::{CONCURRENCY, PORT, not_text};
use super::origin::{Door, Origin, Said};
use super::{Environment, Options};

/// `WEB_CONCURRENCY` counts where nobody decided: `auto` of the operator's, or of `configure`, is a decision against it.
pub(super) fn fill_workers(
    options: &mut Options,
    environment: &Environment,
    idle: &mut Vec<String>,
) -> Option<String> {
    let text = environment.concurrency.as_ref()?;
    // A value that could not be read replaces the variable as well.
    if !options.workers.is_known() {
        return None;
    }
    let is_open = match options.workers.last() {
        None => true,
        Some(said) => said.value == Workers::Auto && said.origin.is_declaration(),
    };
    let read = text.to_str().map(prefork_options::workers::parse);
    if !is_open {
        idle.push(format!("{CONCURRENCY}={}: workers is set", shown(text)));
        let said = options.workers.last()?;
        let agrees = text.is_empty() || matches!(read, Some(Ok(read)) if read == said.value);
        return (!agrees).then(|| overruled_workers(text, said));
    }
    if let Some(workers) = options.read_platform(CONCURRENCY, read, &not_text(text)) {
        options
            .workers
            .say(workers, Origin::Variable(CONCURRENCY.to_owned()));
    }
    None
}

fn overruled_workers(text: &OsStr, Said { value, origin }: &Said<Workers>) -> String {
    let way_out = match origin {
        Origin::Variable(name) => format!("remove {name}"),
        Origin::Program(Door::Configure, _) => "do not set workers in configure".to_owned(),
        Origin::Program(..) | Origin::Default => "write workers = \"auto\"".to_owned(),
    };
    let text = shown(text);
    format!(
        "{CONCURRENCY}={text} is ignored: workers = {value} ({origin}) is set; to let {CONCURRENCY} set it, {way_out}"
    )
}

/// A sentence about `PORT`, where every listener has another port.
pub(super) fn overruled_port(options: &Options, environment: &Environment) -> Option<String> {
    let text = environment.port.as_ref().filter(|text| !text.is_empty())?;
    let listen = options.listen.last()?;
    let (first, origin) = (listen.value.first()?, &listen.origin);
    let port = text.to_str().and_then(|text| address::port(text).ok());
    let is_used = |address: &Address| address.port.is_none() || address.port == port;
    if listen.value.iter().any(is_used) {
        return None;
    }
    let open = Address {
        port: None,
        ..first.clone()
    };
    let text = shown(text);
    Some(format!(
        "{PORT}={text} is ignored: listen ({origin}) sets every port; to let {PORT} set it, leave the port out, as in '{open}'"
    ))
}

/// `PORT` counts where a listener has none.
pub(super) fn read_port(
    options: &mut Options,
    environment: &Environment,
    idle: &mut Vec<String>,
) -> Option<u16> {
    let text = environment.port.as_ref()?;
    // Whether a listener has a port is unknown where the list could not be read.
    if !options.listen.is_known() {
        return None;
    }
    let listen = options.listen.value().map_or(&[][..], Vec::as_slice);
    let is_open = |address: &Address| address.port.is_none();
    if !listen.iter().any(is_open) {
        let why = if listen.is_empty() {
            "there is no listener"
        } else {
            "every listener has a port"
        };
        idle.push(format!("{PORT}={}: {why}", shown(text)));
        return None;
    }
    let read = text.to_str().map(address::port);
    // A port that cannot be read is one mistake, not another one for each listener.
    options
        .read_platform(PORT, read, &not_text(text))
        .or(Some(0))
}

/// What was not read may hold anything.
fn shown(text: &OsStr) -> String {
    quote(&text.to_string_lossy())
}

impl Options {
    fn read_platform<T>(
        &mut self,
        variable: &str,
        read: Option<Result<T, ParseError>>,
        not_text: &str,
    ) -> Option<T> {
        let Some(read) = read else {
            self.mistake(variable, &not_text);
            return None;
        };
        self.check(variable, read)
    }
}
