//! Variables that are taken for options and are none: what is told of them.

use std::fmt;

use prefork_options::{Prefix, quote};

/// The names that mean nothing, by what they look like.
#[derive(Debug, Clone, Default)]
pub(super) struct Lookalikes {
    /// Names that begin like ours and set nothing.
    unknown: Vec<Unknown>,
    /// Options by the prefix that this program does not have.
    not_read: Vec<String>,
    /// Names that look like a platform's.
    injected: Vec<String>,
}

/// A name that begins like ours and sets nothing.
#[derive(Debug, Clone)]
struct Unknown {
    name: String,
    /// What whoever means it as another server does should do.
    hint: Option<String>,
}

impl Lookalikes {
    pub(super) fn unknown(&mut self, name: String, hint: Option<String>) {
        self.unknown.push(Unknown { name, hint });
    }

    pub(super) fn not_read(&mut self, name: String) {
        self.not_read.push(name);
    }

    pub(super) fn injected(&mut self, name: String) {
        self.injected.push(name);
    }

    /// All that there is to say, a line each.
    pub(super) fn explained(&self, prefix: &Prefix) -> impl Iterator<Item = String> {
        let not_read = self.not_read.iter();
        let not_read = not_read
            .map(move |name| format!("{name}: the variables of this program begin with {prefix}_"));
        let injected = self.injected.iter().map(|name| quote(name));
        let injected =
            injected.map(|name| format!("{name}: looks like a platform's, not an option"));
        let unknown = self.unknown.iter().map(Unknown::explained);
        not_read.chain(unknown).chain(injected)
    }

    /// One line for a start. Where the prefix is the program's own, which has other variables as well, it is about those
    /// that would be options without it: whoever sets them thinks that they count.
    pub(super) fn warning(&self, prefix: &Prefix) -> Option<String> {
        if let Some(name) = self.not_read.first() {
            return Some(format!(
                "{name} is not read: the variables of this program begin with {prefix}_"
            ));
        }
        if self.unknown.is_empty() || !prefix.is_default() {
            return None;
        }
        Some(self.are_ignored())
    }

    fn are_ignored(&self) -> String {
        const SHOWN: usize = 8;
        let names = self.unknown.iter().take(SHOWN).map(ToString::to_string);
        let names = names.collect::<Vec<_>>().join(", ");
        match self.unknown.len() {
            1 => format!("{names} is no option of prefork and is ignored"),
            all @ ..=SHOWN => {
                format!("{all} variables are no options of prefork and are ignored: {names}")
            }
            all => format!(
                "{all} variables are no options of prefork and are ignored: {names} and {} more",
                all - SHOWN
            ),
        }
    }
}

impl Unknown {
    /// What is there to say about it, of bounded length.
    fn explained(&self) -> String {
        let name = quote(&self.name);
        match &self.hint {
            Some(hint) => format!("{name}: no option, {hint}"),
            None => format!("{name}: no option"),
        }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quote(&self.name))?;
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
        let mut lookalikes = Lookalikes::default();
        for name in names {
            lookalikes.unknown(name, None);
        }
        lookalikes.warning(&Prefix::default())
    }

    #[test]
    fn all_unknown_names_are_one_bounded_warning() {
        assert_eq!(warning([]), None);
        assert_eq!(
            warning(["PREFORK_COLOUR".to_owned()]).as_deref(),
            Some("'PREFORK_COLOUR' is no option of prefork and is ignored")
        );
        assert_eq!(
            warning(["PREFORK_COLOUR", "PREFORK_TASTE"].map(str::to_owned)).as_deref(),
            Some(
                "2 variables are no options of prefork and are ignored: 'PREFORK_COLOUR', 'PREFORK_TASTE'"
            )
        );
        let names = (0..1_000).map(|n| format!("PREFORK_{n}{}", "\n".repeat(90)));
        let warning = warning(names).expect("a thousand are unknown");
        assert!(
            warning.len() < 2_000 && warning.ends_with("and 992 more"),
            "{warning}"
        );
        assert!(!warning.contains('\n'));
    }
}
