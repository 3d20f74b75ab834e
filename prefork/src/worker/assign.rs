//! Decides which argument of `main` takes which listener. Policy only.
//!
//! The master calls it before it starts a worker, and each worker calls it at its start. The rule
//! itself is in `prefork-options`, because the attribute uses it too.

use prefork_options::assign_listeners::{self, ListenerDemand};

use super::argument::{Needs, WantedArgument};

/// Returns for each argument the index of its listener, or `None` if it takes none.
///
/// See [`assign_listeners::assign`] for the rule.
///
/// # Errors
/// No listener is left for an argument, or no argument takes a listener. The second is not an error
/// if `main` can take the listener later (`Worker`) or takes no listener at all.
pub(crate) fn assign(
    wanted: &[WantedArgument<'_>],
    listeners: &[&str],
) -> Result<Vec<Option<usize>>, String> {
    let takes = |kind: Needs| match kind {
        Needs::Worker => ListenerDemand::Later,
        kind if kind.takes_listener() => ListenerDemand::Listener,
        _ => ListenerDemand::Nothing,
    };
    let wanted: Vec<assign_listeners::ArgumentName<'_>> = wanted
        .iter()
        .map(|want| assign_listeners::ArgumentName {
            name: want.name,
            takes: takes(want.needs),
        })
        .collect();
    assign_listeners::assign(&wanted, listeners).map_err(|misfit| misfit.reason)
}

/// Returns a warning about listeners that no argument takes.
///
/// There is none if no argument takes any listener. The code may take the listeners later. But if
/// it does not know a listener, because the environment added it, the clients of that listener
/// wait.
pub(crate) fn untaken(
    wanted: &[WantedArgument<'_>],
    assigned: &[Option<usize>],
    listeners: &[&str],
) -> Option<String> {
    // If no argument takes a listener, the code takes them all through its `Worker`.
    if !wanted.iter().any(|want| want.needs.takes_listener()) {
        return None;
    }
    let free = (0..listeners.len()).filter(|&index| !assigned.contains(&Some(index)));
    let names: Vec<&str> = free.map(|index| listeners[index]).collect();
    let (subject, object, call) = match names.as_slice() {
        [] => return None,
        [one] => (format!("listener '{one}' is"), "it", format!("\"{one}\"")),
        many => {
            let subject = format!("listeners '{}' are", many.join("', '"));
            (subject, "them", "name".to_owned())
        }
    };
    Some(format!(
        "{subject} not used by any argument of main: connections to {object} are never accepted \
         unless the code calls worker.listener({call})"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(name: &str) -> WantedArgument<'_> {
        WantedArgument {
            name,
            needs: Needs::Listener,
        }
    }

    const WORKER: WantedArgument<'static> = WantedArgument {
        name: "worker",
        needs: Needs::Worker,
    };

    #[test]
    fn names_come_first_and_the_rest_take_the_unnamed_in_order() {
        let wanted = [listener("first"), WORKER, listener("http"), listener("_")];
        let assigned = assign(&wanted, &["listener0", "http", "listener2"]);
        assert_eq!(assigned, Ok(vec![Some(0), None, Some(1), Some(2)]));
    }

    #[test]
    fn a_misspelled_argument_does_not_take_a_listener_of_another_name() {
        let error = assign(&[listener("htpp"), listener("admin")], &["http", "admin"]);
        assert_eq!(
            error,
            Err(
                "no listener is named 'htpp' (did you mean 'http'?); 'http' is only for an argument with this name"
                    .to_owned()
            )
        );
        // The same if the code could take the listener later: the argument would have none.
        assert!(assign(&[listener("htpp"), WORKER], &["http"]).is_err());
        assert_eq!(
            assign(&[listener("")], &["http", "admin"]),
            Err(
                "an argument that takes a listener has no name; 'http', 'admin' are only for arguments with these names"
                    .to_owned()
            )
        );
    }

    #[test]
    fn an_argument_without_a_listener_is_an_error_with_its_name() {
        let error = assign(&[listener("http"), listener("admin")], &["http"]);
        assert_eq!(
            error,
            Err("no listener is left for 'admin'; there is only 'http'".to_owned())
        );
        assert!(assign(&[listener("")], &[]).is_err());
    }

    #[test]
    fn a_listener_without_an_argument_is_an_error_with_its_name() {
        let error = assign(&[listener("http")], &["http", "admin"]);
        assert_eq!(
            error,
            Err("no argument takes listener 'admin': none has this name".to_owned())
        );
        let error = assign(&[listener("http")], &["http", "listener1"]);
        assert_eq!(
            error,
            Err("no argument takes listener 'listener1'".to_owned())
        );
    }

    #[test]
    fn listeners_left_to_a_worker_are_a_warning_if_arguments_take_others() {
        let warning = |wanted: &[WantedArgument<'_>]| {
            let listeners = ["http", "admin", "third"];
            let assigned = assign(wanted, &listeners).expect("a `Worker` may take listeners later");
            untaken(wanted, &assigned, &listeners)
        };
        let text = warning(&[WORKER, listener("admin")]).expect("two listeners are left");
        assert!(
            text.starts_with("listeners 'http', 'third' are not used by any argument"),
            "{text}"
        );
        assert_eq!(warning(&[WORKER]), None);
        let all = ["http", "admin", "third"].map(listener);
        assert_eq!(warning(&all), None);
    }

    #[test]
    fn a_worker_may_take_listeners_later_and_main_may_take_none() {
        assert!(assign(&[listener("http"), WORKER], &["http", "admin"]).is_ok());
        assert_eq!(assign(&[], &["http"]), Ok(vec![]));
    }
}
