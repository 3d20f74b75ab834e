//! Which argument of `main` takes which listener. Pure: the master asks before it starts anybody,
//! each worker when it begins.

use super::ArgumentKind;

/// An argument, as far as this question goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: ArgumentKind,
}

/// For each argument the place of its listener, `None` for those that want none.
///
/// An argument that is named like a listener takes that one; the rest come in order.
///
/// # Errors
/// An argument that no listener is left for; a listener that nobody takes, unless the body can
/// still take it later (`Worker`) or takes none at all.
pub(crate) fn assign(
    wanted: &[Wanted<'_>],
    listeners: &[&str],
) -> Result<Vec<Option<usize>>, String> {
    let mut free: Vec<bool> = vec![true; listeners.len()];
    let mut assigned = vec![None; wanted.len()];
    for (want, place) in wanted.iter().zip(&mut assigned) {
        let named = listeners.iter().position(|name| *name == want.name);
        if let Some(index) = named.filter(|&index| want.kind.takes_listener() && free[index]) {
            free[index] = false;
            *place = Some(index);
        }
    }
    for (want, place) in wanted.iter().zip(&mut assigned) {
        if want.kind.takes_listener() && place.is_none() {
            let index = free.iter().position(|&is_free| is_free);
            *place = Some(index.ok_or_else(|| none_left(wanted, want, listeners))?);
            if let Some(index) = index {
                free[index] = false;
            }
        }
    }
    let takes_some = wanted.iter().any(|want| want.kind.takes_listener());
    let may_take_later = wanted.iter().any(|want| want.kind == ArgumentKind::Worker);
    match free.iter().position(|&is_free| is_free) {
        Some(index) if takes_some && !may_take_later => Err(format!(
            "listener '{}' is taken by none of them",
            listeners[index]
        )),
        _ => Ok(assigned),
    }
}

fn none_left(wanted: &[Wanted<'_>], want: &Wanted<'_>, listeners: &[&str]) -> String {
    let count = wanted
        .iter()
        .filter(|want| want.kind.takes_listener())
        .count();
    let there = match listeners {
        [] => "no listener is configured".to_owned(),
        [one] => format!("there is only '{one}'"),
        many => format!("there are only '{}'", many.join("', '")),
    };
    match want.name {
        "" => format!("{count} of them want a listener, {there}"),
        name => format!("no listener is left for '{name}', {there}"),
    }
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
    fn names_come_first_and_the_rest_in_order() {
        let wanted = [
            listener("first"),
            WORKER,
            listener("http"),
            listener("other"),
        ];
        let assigned = assign(&wanted, &["http", "admin", "third"]);
        assert_eq!(assigned, Ok(vec![Some(1), None, Some(0), Some(2)]));
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
            Err("listener 'admin' is taken by none of them".to_owned())
        );
    }

    #[test]
    fn a_worker_may_take_listeners_later_and_a_body_may_take_none() {
        assert!(assign(&[listener("http"), WORKER], &["http", "admin"]).is_ok());
        assert_eq!(assign(&[], &["http"]), Ok(vec![]));
    }
}
