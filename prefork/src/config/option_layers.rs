//! The layers of all options: one field per row of the table of options.
//!
//! It knows how a value becomes a layer, or its error. It does not know how layers are resolved.

use std::fmt::Display;
use std::panic::Location;
use std::path::PathBuf;

use prefork_options::{Address, OptionValue, ParseError, list};

use super::Environment;
use super::layers::{Layer, Layers, Origin, ProgramSource};
use crate::error::OptionError;

macro_rules! define {
    (
        values { $( $(#[doc = $doc:expr])* $name:ident : $kind:ty {
            $(env: $env:literal, $(#[doc = $note:expr])* getter: $getter:ident -> $view:ty,)?
            $(feature: $feature:literal,)? default: $($row:tt)*
        } )* }
        code { $($code:tt)* }
    ) => {
        /// The layers of all options. Errors are collected, so that all are reported at once.
        #[derive(Debug, Clone, Default)]
        pub(crate) struct OptionLayers {
            $(pub(crate) $name: Layers<$kind>,)*
            /// The names and origins of the functions that were set.
            pub(super) callbacks: Vec<(&'static str, Origin)>,
            pub(super) errors: Vec<OptionError>,
            /// Errors of values that a later layer replaced, a line each.
            pub(super) replaced: Vec<String>,
            /// The source that calls the setters.
            pub(crate) source: ProgramSource,
            /// The base of relative paths.
            pub(crate) directory: Option<PathBuf>,
        }

        impl OptionLayers {
            /// Sets an option from the text of a variable, or records why the text is invalid.
            pub(super) fn set_text(&mut self, name: &str, variable: &str, text: Result<&str, String>) {
                let origin = Origin::Variable(variable.to_owned());
                match name {
                    "listen" => self.set_listen(text, origin),
                    $(stringify!($name) => {
                        let value = read::<$kind>(text);
                        self.record(stringify!($name), |it| &mut it.$name, value, origin);
                    })*
                    _ => {}
                }
            }

            /// The options that the program sets, each as `name:digest`.
            ///
            /// They are the same in each process of one program, unless it computes a value anew.
            /// Two functions cannot be compared. Of `on_socket`, which changes the sockets of the
            /// master, the list has at least that the program sets it.
            pub(crate) fn declared(&self) -> Vec<String> {
                let mut declared = Vec::new();
                $(
                    let last = self.$name.last();
                    if let Some(last) = last.filter(|last| last.origin.is_declaration()) {
                        let digest = last.value.digest();
                        declared.push(format!("{}:{digest:08x}", stringify!($name)));
                    }
                )*
                if self.callbacks.iter().any(|(name, _)| *name == "on_socket") {
                    declared.push("on_socket:00000000".to_owned());
                }
                declared
            }

            /// The feature and error label of each valid option that needs a feature.
            pub(super) fn of_features(&self) -> Vec<(&'static str, String)> {
                let mut found = Vec::new();
                $($(
                    if let Some(last) = self.$name.last().filter(|_| self.$name.is_valid()) {
                        found.push(($feature, last.origin.label(stringify!($name))));
                    }
                )?)*
                found
            }
        }
    };
}

prefork_options::options! { define }

/// Label for errors found after resolution: the variable that set the option, or the option's name.
///
/// Such errors depend on the machine or on files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErrorLabels {
    pub(crate) listen: String,
    pub(crate) workers: String,
    pub(crate) standby: String,
    pub(crate) tls_cert: String,
    pub(crate) tls_key: String,
    pub(crate) tls_client_ca: String,
}

fn read<T: OptionValue>(text: Result<&str, String>) -> Result<T, String> {
    text.and_then(|text| T::parse(text).map_err(|error| error.to_string()))
}

impl OptionLayers {
    /// Records a value that the program sets. Its origin is the caller of the setter.
    #[track_caller]
    pub(crate) fn set<T>(
        &mut self,
        option: &str,
        layers: impl Fn(&mut Self) -> &mut Layers<T>,
        value: Result<T, ParseError>,
    ) {
        let origin = Origin::Program(self.source, Location::caller());
        self.record(option, layers, value, origin);
    }

    /// Records a value in the layers of its option, or its error.
    ///
    /// A valid value replaces earlier invalid ones. Their errors no longer fail the start; they
    /// become lines of `PREFORK_EXPLAIN`.
    fn record<T>(
        &mut self,
        option: &str,
        layers: impl Fn(&mut Self) -> &mut Layers<T>,
        value: Result<T, impl Display>,
        origin: Origin,
    ) {
        match value {
            Ok(value) => {
                let invalid = layers(self).clear_invalid();
                let is_replaced = |error: &mut OptionError| invalid.contains(&error.label);
                let replaced = self.errors.extract_if(.., is_replaced);
                let replaced = replaced.map(|error| format!("{error} (overridden by {origin})"));
                self.replaced.extend(replaced);
                layers(self).push(value, origin);
            }
            Err(reason) => {
                let label = origin.label(option);
                self.add_error(&label, &reason);
                layers(self).mark_invalid(label);
            }
        }
    }

    /// Combines the addresses of the operator with those of the program.
    fn set_listen(&mut self, text: Result<&str, String>, origin: Origin) {
        let mut value = read::<Vec<Address>>(text);
        if let Ok(addresses) = &mut value {
            // If the program's list is invalid, it is unknown which of its entries a named address
            // replaces.
            if !self.listen.is_valid() && addresses.iter().all(|address| address.name.is_some()) {
                return;
            }
            let declared = self.listen.value().map_or(&[][..], Vec::as_slice);
            *addresses = list::override_named(declared, std::mem::take(addresses));
        }
        self.record("listen", |it| &mut it.listen, value, origin);
    }

    /// Adds the layer of the environment above the layer of the program.
    pub(crate) fn apply_env(&mut self, environment: &Environment) {
        for (option, variable, text) in environment.texts() {
            self.set_text(option, &variable, text);
        }
        self.errors.extend_from_slice(&environment.errors);
    }

    /// Removes `runtime_threads` if `main` does not use the runtime of this crate. Returns a
    /// warning.
    ///
    /// If feature `tokio` is off and the program itself sets the option, it records an error
    /// instead.
    pub(crate) fn drop_unused_threads(&mut self) -> Option<String> {
        let is_known = self.runtime_threads.is_valid();
        let Layer { value, origin } = std::mem::take(&mut self.runtime_threads).into_last()?;
        if !is_known {
            return None;
        }
        if !cfg!(feature = "tokio") && matches!(origin, Origin::Program(..)) {
            let reason = "needs feature `tokio` of prefork";
            self.add_error("runtime_threads", &reason);
            return None;
        }
        Some(format!(
            "ignoring runtime_threads = {value} ({origin}): main is not async or uses another runtime"
        ))
    }

    /// Records that the program set a function.
    pub(crate) fn record_callback(
        &mut self,
        name: &'static str,
        location: &'static Location<'static>,
    ) {
        self.callbacks.retain(|(other, _)| *other != name);
        self.callbacks
            .push((name, Origin::Program(self.source, location)));
    }

    /// The labels for errors that are found after resolution.
    pub(super) fn labels(&self) -> ErrorLabels {
        ErrorLabels {
            listen: self.listen.label("listen"),
            workers: self.workers.label("workers"),
            standby: self.standby.label("standby"),
            tls_cert: self.tls_cert.label("tls_cert"),
            tls_key: self.tls_key.label("tls_key"),
            tls_client_ca: self.tls_client_ca.label("tls_client_ca"),
        }
    }

    /// Whether each value is valid by itself. Whether they fit together is checked during
    /// resolution.
    pub(crate) fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }

    /// Records an error under a label.
    pub(super) fn add_error(&mut self, label: &str, reason: &impl Display) {
        self.errors.push(OptionError {
            label: label.to_owned(),
            reason: reason.to_string(),
        });
    }

    /// Records the error of a result under a label, or returns its value.
    pub(super) fn check<T>(&mut self, label: &str, result: Result<T, ParseError>) -> Option<T> {
        result.map_err(|reason| self.add_error(label, &reason)).ok()
    }
}

#[cfg(test)]
mod tests {
    use crate::Prefork;

    /// The master binds the listeners, so it can use a successor only if both set the same.
    #[test]
    fn each_option_of_a_listener_changes_what_a_program_declares() {
        let declared = |set: fn(Prefork) -> Prefork| set(Prefork::new()).options.declared();
        let unix = |options: &str| {
            let unix = Prefork::new().listen(format!("unix:/run/app.sock{options}"));
            unix.options.declared()
        };
        let tcp = |options: &str| {
            let tcp = Prefork::new().listen(format!("[::]:80{options}"));
            tcp.options.declared()
        };
        for options in ["?mode=0660", "?owner=1", "?group=1", "?backlog=5"] {
            assert_ne!(unix(options), unix(""), "{options}");
        }
        assert_eq!(unix("?mode=0660"), unix("?mode=660"));
        for options in ["?backlog=5", "?v6only=true", "?nodelay=true"] {
            assert_ne!(tcp(options), tcp(""), "{options}");
        }
        for (name, set) in [
            ("backlog", (|it| it.backlog(5)) as fn(Prefork) -> Prefork),
            ("v6only", |it| it.v6only(true)),
            ("nodelay", |it| it.nodelay(true)),
            ("on_socket", |it| it.on_socket(|_, _| ())),
        ] {
            let declared = declared(set);
            assert_eq!(declared.len(), 1, "{declared:?}");
            assert!(declared[0].starts_with(&format!("{name}:")), "{declared:?}");
        }
        let kinds = [
            "127.0.0.1:80",
            "udp://127.0.0.1:80",
            "tls://127.0.0.1:80",
            "unix:/a",
            "fd:3",
        ];
        let kinds: Vec<_> = kinds
            .map(|text| Prefork::new().listen(text).options.declared())
            .into();
        for (index, kind) in kinds.iter().enumerate() {
            assert!(!kinds[..index].contains(kind), "{kinds:?}");
        }
    }
}
