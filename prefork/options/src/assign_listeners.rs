//! Assigns listeners to the arguments of `main`.
//!
//! Three callers use it: the attribute, for listeners and arguments in the source; the master,
//! before it starts a worker; and each worker, when it starts. It does not know the types of
//! arguments, only what an argument takes.

use crate::list;
use crate::suggest::nearest;

/// What an argument takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerDemand {
    /// One listener.
    Listener,
    /// Any number of listeners, later: the code of `main` requests them.
    Later,
    /// No listener.
    Nothing,
}

/// An argument of `main`.
#[derive(Clone, Copy, Debug)]
pub struct ArgumentName<'a> {
    /// Its name; empty for a pattern.
    pub name: &'a str,
    /// What it takes.
    pub takes: ListenerDemand,
}

/// The arguments and the listeners do not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignError {
    /// The argument or listener that is left.
    pub of: Unmatched,
    /// The reason, as part of a sentence.
    pub reason: String,
}

/// The argument or listener that is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmatched {
    /// The argument at this index has no listener.
    Argument(usize),
    /// The listener at this index has no argument.
    Listener(usize),
}

/// Assigns listeners to arguments.
///
/// Returns for each argument the index of its listener, or `None` if it takes none.
///
/// An argument with the name of a listener takes that listener. The other arguments take the
/// listeners without a name, in order. A listener with a name goes to no other argument: otherwise,
/// a misspelled argument would serve the requests of another port.
///
/// # Errors
///
/// - An argument takes a listener, and no listener is left for it.
/// - A listener is left, at least one argument takes a listener, and no argument can take it later.
pub fn assign(
    wanted: &[ArgumentName<'_>],
    listeners: &[&str],
) -> Result<Vec<Option<usize>>, AssignError> {
    let takes_listener = |want: &ArgumentName<'_>| want.takes == ListenerDemand::Listener;
    let mut free: Vec<bool> = vec![true; listeners.len()];
    let mut assigned = vec![None; wanted.len()];
    for (want, found) in wanted.iter().zip(&mut assigned) {
        let named = listeners.iter().position(|name| *name == want.name);
        if let Some(index) = named.filter(|&index| takes_listener(want) && free[index]) {
            free[index] = false;
            *found = Some(index);
        }
    }
    for (argument, (want, found)) in wanted.iter().zip(&mut assigned).enumerate() {
        if takes_listener(want) && found.is_none() {
            let next =
                (0..listeners.len()).find(|&index| free[index] && is_unnamed(listeners, index));
            let index = next.ok_or_else(|| AssignError {
                of: Unmatched::Argument(argument),
                reason: none_left(wanted, want, listeners, &free),
            })?;
            free[index] = false;
            *found = Some(index);
        }
    }
    let takes_some = wanted.iter().any(takes_listener);
    let may_take_later = wanted
        .iter()
        .any(|want| want.takes == ListenerDemand::Later);
    match free.iter().position(|&is_free| is_free) {
        Some(index) if takes_some && !may_take_later => Err(AssignError {
            of: Unmatched::Listener(index),
            reason: not_taken(listeners, index),
        }),
        _ => Ok(assigned),
    }
}

/// Whether a listener has no name of its own, but the default name of its index.
fn is_unnamed(listeners: &[&str], index: usize) -> bool {
    listeners[index] == list::default_name(index)
}

fn none_left(
    wanted: &[ArgumentName<'_>],
    want: &ArgumentName<'_>,
    listeners: &[&str],
    free: &[bool],
) -> String {
    let left = listeners.iter().zip(free);
    let left: Vec<&str> = left
        .filter(|(_, free)| **free)
        .map(|(name, _)| *name)
        .collect();
    if !left.is_empty() {
        return not_by_name(want.name, &left);
    }
    let takes = wanted
        .iter()
        .filter(|want| want.takes == ListenerDemand::Listener);
    let count = takes.count();
    let existing = match listeners {
        [] => "no listener is configured".to_owned(),
        [one] => format!("there is only '{one}'"),
        many => format!("there are only '{}'", many.join("', '")),
    };
    match (want.name, count) {
        ("", 1) => format!("one argument takes a listener; {existing}"),
        ("", _) => format!("{count} arguments take a listener; {existing}"),
        (name, _) => format!("no listener is left for '{name}'; {existing}"),
    }
}

/// The reason if listeners are left, but each is only for the argument with its name.
fn not_by_name(argument: &str, left: &[&str]) -> String {
    let missing = match (argument, nearest(argument, left.iter().copied())) {
        ("", _) => "an argument that takes a listener has no name".to_owned(),
        (name, Some(near)) => format!("no listener is named '{name}' (did you mean '{near}'?)"),
        (name, None) => format!("no listener is named '{name}'"),
    };
    match left {
        [one] => format!("{missing}; '{one}' is only for an argument with this name"),
        many => {
            let many = many.join("', '");
            format!("{missing}; '{many}' are only for arguments with these names")
        }
    }
}

fn not_taken(listeners: &[&str], index: usize) -> String {
    let name = listeners[index];
    if is_unnamed(listeners, index) {
        return format!("no argument takes listener '{name}'");
    }
    format!("no argument takes listener '{name}': none has this name")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(
        wanted: &[(&str, ListenerDemand)],
        listeners: &[&str],
    ) -> Result<Vec<Option<usize>>, Unmatched> {
        let wanted: Vec<ArgumentName<'_>> = wanted
            .iter()
            .map(|&(name, takes)| ArgumentName { name, takes })
            .collect();
        assign(&wanted, listeners).map_err(|misfit| misfit.of)
    }

    #[test]
    fn an_error_has_the_index_of_what_is_left() {
        use ListenerDemand::{Later, Listener, Nothing};
        let http = ("http", Listener);
        for (wanted, listeners, expected) in [
            (&[http][..], &["http"][..], Ok(vec![Some(0)])),
            (
                &[("a", Nothing), http],
                &["admin"],
                Err(Unmatched::Argument(1)),
            ),
            (
                &[("a", Later), http],
                &["admin"],
                Err(Unmatched::Argument(1)),
            ),
            (&[http], &["http", "admin"], Err(Unmatched::Listener(1))),
            (
                &[("a", Later), http],
                &["http", "admin"],
                Ok(vec![None, Some(0)]),
            ),
            (&[("a", Nothing)], &["http"], Ok(vec![None])),
            (
                &[http, ("l", Listener)],
                &["listener0"],
                Err(Unmatched::Argument(1)),
            ),
        ] {
            assert_eq!(
                found(wanted, listeners),
                expected,
                "{wanted:?} {listeners:?}"
            );
        }
    }
}
