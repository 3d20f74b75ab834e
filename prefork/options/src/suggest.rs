//! Suggestions for unknown names.
//!
//! It knows the distance of two names, and does not know what they name. Names of other servers are
//! in [`foreign_names`].

use std::fmt;

use crate::foreign_names::{self, Alias};
use crate::spelling::{MAX_LENGTH, is_same, plain};

/// A suggestion for an unknown name, in descending order of certainty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint<'a> {
    /// The same name in another spelling: `RecoverThreshold`, `reuse_port`.
    Respelled(&'a str),
    /// The option with the meaning that the name has in another server.
    Alias(&'a str),
    /// What to do instead, for a name of another server that is no single option.
    Explain(&'static str),
    /// A name with a small difference.
    Similar(&'a str),
}

/// Finds a suggestion for an unknown name, among these names.
///
/// # Examples
///
/// ```
/// use prefork_options::suggest::{Hint, hint};
///
/// let names = ["listen", "workers"];
/// assert_eq!(hint("processes", names), Some(Hint::Alias("workers")));
/// assert_eq!(hint("lisen", names), Some(Hint::Similar("listen")));
/// ```
pub fn hint<'a, N>(word: &str, names: N) -> Option<Hint<'a>>
where
    N: IntoIterator<Item = &'a str, IntoIter: Clone>,
{
    let names = names.into_iter();
    if let Some(name) = names.clone().find(|name| is_same(word, name)) {
        return Some(Hint::Respelled(name));
    }
    match foreign_names::find(word) {
        // The caller may not accept every option: the environment cannot set functions.
        Some(Alias::Called(called)) => {
            if let Some(name) = names.clone().find(|name| *name == called) {
                return Some(Hint::Alias(name));
            }
        }
        Some(Alias::Instead(text)) => return Some(Hint::Explain(text)),
        None => {}
    }
    nearest(word, names).map(Hint::Similar)
}

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Respelled(name) | Self::Alias(name) => write!(f, "use `{name}`"),
            Self::Explain(text) => f.write_str(text),
            Self::Similar(name) => write!(f, "did you mean `{name}`?"),
        }
    }
}

/// Finds the name with the smallest difference.
///
/// Case, `_` and `-` are ignored, so that `RecoverThreshold` finds `recover_threshold`. `None` if
/// more than a third of the word would have to change, or more than a third of one of its parts:
/// `on_worker_ready` is not similar to `on_master_ready`.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = word;
    let word = plain(word);
    if word.is_empty() || word.len() > MAX_LENGTH {
        return None;
    }
    names
        .into_iter()
        .map(|name| (distance(&word, &plain(name)), name))
        .filter(|(distance, name)| is_near(&word, *distance) && are_parts_near(written, name))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn is_near(word: &[char], distance: usize) -> bool {
    distance <= (word.len() / 3).max(1)
}

/// Whether each part of a name is near its counterpart.
///
/// Names with different numbers of parts are not compared. A part with a larger difference is
/// another word, not a typo.
fn are_parts_near(word: &str, name: &str) -> bool {
    let parts = |text: &str| -> Vec<Vec<char>> { text.split(['_', '-']).map(plain).collect() };
    let (words, names) = (parts(word), parts(name));
    let mut pairs = words.iter().zip(&names);
    words.len() != names.len() || pairs.all(|(word, name)| is_near(word, distance(word, name)))
}

/// Whether two names differ by one typo at most.
///
/// A typo is a letter too much, too few or wrong, or swapped with its neighbor.
pub fn is_one_step(word: &str, name: &str) -> bool {
    distance(&plain(word), &plain(name)) <= 1
}

/// The distance of two words (optimal string alignment).
///
/// It is the number of letters to insert, remove, replace or swap with their neighbor.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut older = vec![0; to.len() + 1];
    let mut old: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut new = vec![i + 1; to.len() + 1];
        for (j, b) in to.iter().enumerate() {
            new[j + 1] = (old[j] + usize::from(a != b))
                .min(old[j + 1] + 1)
                .min(new[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                new[j + 1] = new[j + 1].min(older[j - 1] + 1);
            }
        }
        older = std::mem::replace(&mut old, new);
    }
    old[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = [
        "listen",
        "workers",
        "recover_threshold",
        "shutdown_grace_period",
    ];

    #[test]
    fn a_typo_finds_the_name() {
        for (word, name) in [
            ("worker", "workers"),
            ("wrokers", "workers"),
            ("WORKERS", "workers"),
            ("lisen", "listen"),
            ("RecoverThreshold", "recover_threshold"),
            ("recover-treshold", "recover_threshold"),
            ("SHUTDOWN_GRACE_PERIODE", "shutdown_grace_period"),
        ] {
            assert_eq!(nearest(word, NAMES), Some(name), "{word}");
        }
    }

    #[test]
    fn other_words_get_no_suggestion() {
        for word in ["", "_", "x", "color", "threads", &"w".repeat(100_000)] {
            assert_eq!(nearest(word, NAMES), None);
        }
    }

    #[test]
    fn a_name_with_another_part_is_not_suggested() {
        for (word, name) in [
            ("on_worker_ready", "on_master_ready"),
            ("on_child_death", "on_child_spawn"),
            ("header_timeout", "ready_timeout"),
            ("tls_port", "tls_cert"),
        ] {
            assert_eq!(nearest(word, [name]), None, "{word}");
        }
        for (word, name) in [
            ("on_mastr_ready", "on_master_ready"),
            ("on-chlid-spwan", "on_child_spawn"),
            ("redy_timeout", "ready_timeout"),
            ("OnMasterRedy", "on_master_ready"),
            ("tls_crt", "tls_cert"),
        ] {
            assert_eq!(nearest(word, [name]), Some(name), "{word}");
        }
    }

    #[test]
    fn the_surest_hint_comes_first() {
        for (word, hint_of_it) in [
            ("RecoverThreshold", Hint::Respelled("recover_threshold")),
            ("listen_", Hint::Respelled("listen")),
            ("Addr", Hint::Alias("listen")),
            ("worker_processes", Hint::Alias("workers")),
            ("worker", Hint::Similar("workers")),
        ] {
            assert_eq!(hint(word, NAMES), Some(hint_of_it), "{word}");
        }
        assert!(matches!(hint("port", NAMES), Some(Hint::Explain(_))));
        assert_eq!(hint("color", NAMES), None);
    }

    #[test]
    fn an_alias_of_a_name_that_the_caller_lacks_is_not_suggested() {
        assert_eq!(hint("worker_threads", NAMES), None);
        assert_eq!(hint("_", NAMES), None);
    }

    #[test]
    fn a_swap_is_one_step() {
        for (word, is) in [
            ("WORKER", true),
            ("wrokers", true),
            ("Workers_", true),
            ("LISTENER", false),
            ("", false),
        ] {
            let is_near = NAMES.iter().any(|name| is_one_step(word, name));
            assert_eq!(is_near, is, "{word}");
        }
        let chars = |text: &str| text.chars().collect::<Vec<_>>();

        assert_eq!(distance(&chars("ab"), &chars("ba")), 1);
        assert_eq!(distance(&chars("kitten"), &chars("sitting")), 3);
        assert_eq!(distance(&chars(""), &chars("abc")), 3);
        assert_eq!(distance(&chars("abc"), &chars("")), 3);
    }
}
