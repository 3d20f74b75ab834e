//! Unknown or suspicious variables and the warnings about them.
//!
//! It knows only names; what a name means is decided elsewhere.

use std::fmt;

use prefork_options::{Prefix, quote};

/// The variables without effect, by the reason.
#[derive(Debug, Clone, Default)]
pub(super) struct UnknownVars {
    /// Variables with the prefix of this program that are not options.
    unknown: Vec<UnknownVar>,
    /// Options with the default prefix, in a program that has another prefix.
    wrong_prefix: Vec<String>,
    /// Variables that look injected by a platform.
    injected: Vec<String>,
}

/// A variable with the prefix of this program that is not an option.
#[derive(Debug, Clone)]
struct UnknownVar {
    name: String,
    /// What to do instead, if the name has a meaning in another server.
    hint: Option<String>,
}

impl UnknownVars {
    pub(super) fn add_unknown(&mut self, name: String, hint: Option<String>) {
        self.unknown.push(UnknownVar { name, hint });
    }

    pub(super) fn add_wrong_prefix(&mut self, name: String) {
        self.wrong_prefix.push(name);
    }

    pub(super) fn add_injected(&mut self, name: String) {
        self.injected.push(name);
    }

    /// All variables without effect, a line each.
    pub(super) fn lines(&self, prefix: &Prefix) -> impl Iterator<Item = String> {
        let not_read = self.wrong_prefix.iter();
        let not_read = not_read
            .map(move |name| format!("{name}: variables of this program begin with {prefix}_"));
        let injected = self.injected.iter().map(|name| printable(name));
        let injected = injected.map(|name| format!("{name}: probably set by Kubernetes or Docker"));
        let unknown = self.unknown.iter().map(UnknownVar::explained);
        not_read.chain(unknown).chain(injected)
    }

    /// One warning for the log of a start.
    ///
    /// If the program has its own prefix, it may have other variables with it, so these are not
    /// reported. Options with the default prefix are reported then, because the operator expects
    /// them to be used.
    pub(super) fn warning(&self, prefix: &Prefix) -> Option<String> {
        if let Some(name) = self.wrong_prefix.first() {
            return Some(format!(
                "ignoring {name}: variables of this program begin with {prefix}_"
            ));
        }
        if self.unknown.is_empty() || !prefix.is_default() {
            return None;
        }
        Some(self.summary())
    }

    fn summary(&self) -> String {
        const SHOWN: usize = 8;
        let names = self.unknown.iter().take(SHOWN).map(ToString::to_string);
        let names = names.collect::<Vec<_>>().join(", ");
        match self.unknown.len() {
            1 => format!("ignoring unknown variable {names}"),
            all @ ..=SHOWN => format!("ignoring {all} unknown variables: {names}"),
            all => format!(
                "ignoring {all} unknown variables: {names} and {} more",
                all - SHOWN
            ),
        }
    }
}

impl UnknownVar {
    /// A line about the variable, of bounded length.
    fn explained(&self) -> String {
        let name = printable(&self.name);
        match &self.hint {
            Some(hint) => format!("{name}: unknown variable; {hint}"),
            None => format!("{name}: unknown variable"),
        }
    }
}

/// A variable for a message: quoted if it is long or has unusual characters.
pub(super) fn printable(name: &str) -> String {
    let is_plain = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
    if name.len() <= 64 && name.bytes().all(is_plain) {
        name.to_owned()
    } else {
        quote(name)
    }
}

impl fmt::Display for UnknownVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.name))?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(names: impl IntoIterator<Item = String>) -> Option<String> {
        let mut variables = UnknownVars::default();
        for name in names {
            variables.add_unknown(name, None);
        }
        variables.warning(&Prefix::default())
    }

    #[test]
    fn all_unknown_names_are_one_bounded_warning() {
        assert_eq!(warning([]), None);
        assert_eq!(
            warning(["PREFORK_COLOR".to_owned()]).as_deref(),
            Some("ignoring unknown variable PREFORK_COLOR")
        );
        assert_eq!(
            warning(["PREFORK_COLOR", "PREFORK_TASTE"].map(str::to_owned)).as_deref(),
            Some("ignoring 2 unknown variables: PREFORK_COLOR, PREFORK_TASTE")
        );
        let names = (0..1_000).map(|n| format!("PREFORK_{n}{}", "\n".repeat(90)));
        let warning = warning(names).expect("there are unknown variables");
        assert!(
            warning.len() < 2_000 && warning.ends_with("and 992 more"),
            "{warning}"
        );
        assert!(!warning.contains('\n'));
    }
}
