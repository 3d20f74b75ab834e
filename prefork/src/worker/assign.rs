//! Which argument of `main` takes which listener. Pure: the master asks before it starts anybody,
//! each worker when it begins. The rule itself stands in `prefork-options`, for the attribute as well.

use prefork_options::fit::{self, Takes};

use super::ArgumentKind;

/// An argument, as far as this question goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: ArgumentKind,
}

/// For each argument the place of its listener, `None` for those that want none; see [`fit::assign`].
///
/// # Errors
/// An argument that no listener is left for; a listener that nobody takes, unless the body can
/// still take it later (`Worker`) or takes none at all.
pub(crate) fn assign(
    wanted: &[Wanted<'_>],
    listeners: &[&str],
) -> Result<Vec<Option<usize>>, String> {
    let takes = |kind: ArgumentKind| match kind {
        ArgumentKind::Worker => Takes::Later,
        kind if kind.takes_listener() => Takes::Listener,
        _ => Takes::Nothing,
    };
    let wanted: Vec<fit::Wanted<'_>> = wanted
        .iter()
        .map(|want| fit::Wanted {
            name: want.name,
            takes: takes(want.kind),
        })
        .collect();
    fit::assign(&wanted, listeners).map_err(|misfit| misfit.reason)
}

/// A sentence about listeners that no argument takes where others do and the body may take them later: one that it does
/// not know of, since the environment brought it, keeps its clients waiting.
pub(crate) fn untaken(
    wanted: &[Wanted<'_>],
    assigned: &[Option<usize>],
    listeners: &[&str],
) -> Option<String> {
    // A body that takes all of them by hand is no cause for a line.
    if !wanted.iter().any(|want| want.kind.takes_listener()) {
        return None;
    }
    let free = (0..listeners.len()).filter(|&index| !assigned.contains(&Some(index)));
    let names: Vec<&str> = free.map(|index| listeners[index]).collect();
    let (subject, object) = match names.as_slice() {
        [] => return None,
        [one] => (format!("listener '{one}' is"), "it"),
        many => (format!("listeners '{}' are", many.join("', '")), "them"),
    };
    Some(format!(
        "{subject} taken by no argument of main: unless the body asks its Worker for {object}, \
         connections wait there in vain"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(name: &str) -> Wanted<'_> {
        Wanted {
            name,
            kind: ArgumentKind::Listener,
        }
    }

    const WORKER: Wanted<'static> = Wanted {
        name: "worker",
        kind: ArgumentKind::Worker,
    };

    #[test]
    fn names_come_first_and_the_rest_take_the_unnamed_in_order() {
        let wanted = [listener("first"), WORKER, listener("http"), listener("_")];
        let assigned = assign(&wanted, &["listener0", "http", "listener2"]);
        assert_eq!(assigned, Ok(vec![Some(0), None, Some(1), Some(2)]));
    }

    #[test]
    fn a_misspelt_argument_does_not_take_a_listener_of_another_name() {
        let error = assign(&[listener("htpp"), listener("admin")], &["http", "admin"]);
        assert_eq!(
            error,
            Err(
                "no listener is called 'htpp' (did you mean 'http'?), and 'http' goes only to an argument of its name"
                    .to_owned()
            )
        );
        // Nor does it where the body could take the listener later: it would go without one itself.
        assert!(assign(&[listener("htpp"), WORKER], &["http"]).is_err());
        assert_eq!(
            assign(&[listener("")], &["http", "admin"]),
            Err(
                "one of them has no name, and 'http', 'admin' go only to arguments of their names"
                    .to_owned()
            )
        );
    }

    #[test]
    fn an_argument_without_a_listener_is_refused_by_name() {
        let error = assign(&[listener("http"), listener("admin")], &["http"]);
        assert_eq!(
            error,
            Err("no listener is left for 'admin', there is only 'http'".to_owned())
        );
        assert!(assign(&[listener("")], &[]).is_err());
    }

    #[test]
    fn a_listener_that_nobody_takes_is_refused_by_name() {
        let error = assign(&[listener("http")], &["http", "admin"]);
        assert_eq!(
            error,
            Err("listener 'admin' is taken by none of them, none is called so".to_owned())
        );
        let error = assign(&[listener("http")], &["http", "listener1"]);
        assert_eq!(
            error,
            Err("listener 'listener1' is taken by none of them".to_owned())
        );
    }

    #[test]
    fn what_is_left_to_a_worker_is_told_where_others_are_taken() {
        let told = |wanted: &[Wanted<'_>]| {
            let listeners = ["http", "admin", "third"];
            let assigned = assign(wanted, &listeners).expect("a worker may take later");
            untaken(wanted, &assigned, &listeners)
        };
        let text = told(&[WORKER, listener("admin")]).expect("two are left");
        assert!(
            text.starts_with("listeners 'http', 'third' are taken by no"),
            "{text}"
        );
        assert_eq!(told(&[WORKER]), None);
        let all = ["http", "admin", "third"].map(listener);
        assert_eq!(told(&all), None);
    }

    #[test]
    fn a_worker_may_take_listeners_later_and_a_body_may_take_none() {
        assert!(assign(&[listener("http"), WORKER], &["http", "admin"]).is_ok());
        assert_eq!(assign(&[], &["http"]), Ok(vec![]));
    }
}
