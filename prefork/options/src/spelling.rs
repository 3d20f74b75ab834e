//! Names apart from their spelling: case, `_` and `-` do not matter.

/// The length up to which a name is compared.
///
/// A longer one is not a typo of an option, and a comparison costs the product of the lengths.
pub(crate) const MAX_LENGTH: usize = 64;

/// Whether two names are the same, apart from case, `_` and `-`.
pub(crate) fn is_same(word: &str, name: &str) -> bool {
    plain(word) == plain(name)
}

/// The letters of a word in lower case, without `_` and `-`; at most one more than the limit.
pub(crate) fn plain(word: &str) -> Vec<char> {
    word.chars()
        .filter(|c| !matches!(c, '_' | '-'))
        .take(MAX_LENGTH + 1)
        .flat_map(char::to_lowercase)
        .collect()
}
