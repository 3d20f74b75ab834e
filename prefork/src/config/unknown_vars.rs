//! Unknown or suspicious variables and the warnings about them.
//!
//! It knows only names; what a name means is decided elsewhere.

use prefork_options::{Prefix, quote};

/// The variables without effect, by the reason.
#[derive(Debug, Clone, Default)]
pub(super) struct UnknownVars {
    /// Variables with the prefix of this program that are not options. If the name has a meaning in
    /// another server, the second text is what to do instead.
    pub(super) unknown: Vec<(String, Option<String>)>,
    /// Options with the default prefix, in a program that has another prefix.
    pub(super) wrong_prefix: Vec<String>,
    /// Variables that look injected by a platform.
    pub(super) injected: Vec<String>,
}

impl UnknownVars {
    /// All variables without effect, a line of bounded length each.
    pub(super) fn lines(&self, prefix: &Prefix) -> impl Iterator<Item = String> {
        let not_read = self.wrong_prefix.iter();
        let not_read = not_read
            .map(move |name| format!("{name}: variables of this program begin with {prefix}_"));
        let unknown = self.unknown.iter().map(|(name, hint)| {
            let hint = hint.iter().map(|hint| format!("; {hint}"));
            printable(name) + ": unknown variable" + &hint.collect::<String>()
        });
        let injected = self.injected.iter().map(|name| printable(name));
        let injected = injected.map(|name| format!("{name}: probably set by Kubernetes or Docker"));
        not_read.chain(unknown).chain(injected)
    }

    /// One warning for the log of a start.
    ///
    /// If the program has its own prefix, it may have other variables with it, so these are not
    /// reported. Options with the default prefix are reported then, because the operator expects
    /// them to be used.
    pub(super) fn warning(&self, prefix: &Prefix) -> Option<String> {
        const SHOWN: usize = 8;
        if let Some(name) = self.wrong_prefix.first() {
            return Some(format!(
                "ignoring {name}: variables of this program begin with {prefix}_"
            ));
        }
        if self.unknown.is_empty() || !prefix.is_default() {
            return None;
        }
        let names = self.unknown.iter().take(SHOWN).map(|(name, hint)| {
            let hint = hint.iter().map(|hint| format!(" ({hint})"));
            printable(name) + &hint.collect::<String>()
        });
        let names = names.collect::<Vec<_>>().join(", ");
        Some(match self.unknown.len() {
            1 => format!("ignoring unknown variable {names}"),
            all @ ..=SHOWN => format!("ignoring {all} unknown variables: {names}"),
            all => format!(
                "ignoring {all} unknown variables: {names} and {} more",
                all - SHOWN
            ),
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(names: impl IntoIterator<Item = String>) -> Option<String> {
        let variables = UnknownVars {
            unknown: names.into_iter().map(|name| (name, None)).collect(),
            ..UnknownVars::default()
        };
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
