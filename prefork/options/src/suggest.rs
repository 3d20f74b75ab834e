//! The nearest name, for 'did you mean'.
//!
//! It knows how far apart two words are; it does not know what they name.

/// Longer words are no typing mistakes of a name of ours, and the comparison costs the product of the lengths.
const MAX_LENGTH: usize = 64;

/// Finds the name that somebody who wrote `word` most likely meant.
///
/// Case, `_` and `-` do not count, so that `RecoverThreshold` finds `recover_threshold`. `None` where nothing is near:
/// more than a third of the word would have to change.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = plain(word);
    if word.is_empty() || word.len() > MAX_LENGTH {
        return None;
    }
    names
        .into_iter()
        .map(|name| (distance(&word, &plain(name)), name))
        .filter(|(distance, _)| *distance <= (word.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn plain(word: &str) -> Vec<char> {
    word.chars()
        .filter(|c| !matches!(c, '_' | '-'))
        .take(MAX_LENGTH + 1)
        .flat_map(char::to_lowercase)
        .collect()
}

/// Counts the letters to insert, remove, replace or swap with their neighbour (optimal string alignment).
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
    fn typing_mistakes_are_understood() {
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
    fn other_words_get_no_advice() {
        for word in ["", "_", "x", "colour", "threads", &"w".repeat(100_000)] {
            assert_eq!(nearest(word, NAMES), None);
        }
    }

    #[test]
    fn a_swap_is_one_step() {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();

        assert_eq!(distance(&chars("ab"), &chars("ba")), 1);
        assert_eq!(distance(&chars("kitten"), &chars("sitting")), 3);
        assert_eq!(distance(&chars(""), &chars("abc")), 3);
        assert_eq!(distance(&chars("abc"), &chars("")), 3);
    }
}
