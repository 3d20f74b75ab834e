//! What the arguments of `main` and the listeners of a configuration mean for each other: the same in a master, in a
//! worker, in single mode and in an explanation.

use prefork_options::Prefix;

use crate::config::Config;
use crate::error::{BadOption, Error};
use crate::worker::{
    ArgumentKind, Declared, Offered, Wanted, agree, assign, unshown, untaken, wants_config,
};

/// The listeners of a configuration.
pub(super) fn offered_by(config: &Config) -> Vec<Offered<'_>> {
    let endpoints = config.listen.iter();
    endpoints
        .map(|to| Offered {
            name: &to.name,
            is_tls: to.is_tls,
        })
        .collect()
}

fn names_of<'a>(offered: &[Offered<'a>]) -> Vec<&'a str> {
    offered.iter().map(|listener| listener.name).collect()
}

/// What the arguments of `main` mean for these listeners.
pub(super) fn declare(
    wanted: &[Wanted<'_>],
    offered: &[Offered<'_>],
    has_certificate: bool,
    prefix: &Prefix,
) -> Result<Declared, Error> {
    if wants_config(wanted) && !has_certificate {
        return Err(Error::Options(vec![BadOption {
            place: "tls_cert".to_owned(),
            reason:
                "an argument of main is the configuration of TLS, which needs tls_cert and tls_key"
                    .to_owned(),
        }]));
    }
    let names = names_of(offered);
    let refuse = |mut reason: String| {
        let variable = prefix.variable("listen");
        if offered.is_empty() {
            let how = format!(": set listen in the attribute or the builder, or {variable}");
            reason.push_str(&how);
        }
        Error::Arguments { reason, variable }
    };
    let assigned = assign(wanted, &names).map_err(refuse)?;
    agree(wanted, &assigned, offered).map_err(refuse)?;
    let has = |kind| wanted.iter().any(|want| want.kind == kind);
    let blocking = wanted.iter().zip(&assigned);
    let blocking = blocking
        .filter(|(want, _)| want.kind == ArgumentKind::StdTcpListener)
        .filter_map(|(_, place)| *place)
        .collect();
    let is_ready_by_hand = has(ArgumentKind::Ready);
    let has_ours =
        has(ArgumentKind::Listener) || has(ArgumentKind::TlsListener) || is_ready_by_hand;
    Ok(Declared {
        listeners: assigned
            .iter()
            .flatten()
            .map(|&index| names[index].to_owned())
            .collect(),
        announces_ready: has_ours,
        is_ready_by_hand,
        takes_termination: has_ours || has(ArgumentKind::Worker),
        blocking,
        assigned,
    })
}

/// What fits together and is hardly meant so, a sentence each.
pub(super) fn oversights(
    wanted: &[Wanted<'_>],
    declared: &Declared,
    offered: &[Offered<'_>],
    config: &Config,
) -> Vec<String> {
    let untaken = untaken(wanted, &declared.assigned, &names_of(offered));
    let unshown = unshown(wanted, offered, config.tls_cert.is_some());
    untaken.into_iter().chain(unshown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_without_any_listener_are_refused_with_the_way_to_set_one() {
        let wanted = [Wanted {
            name: "l",
            kind: ArgumentKind::Listener,
        }];
        let prefix = prefork_options::prefix::parse("MYAPP").expect("a good prefix");
        let error = declare(&wanted, &[], false, &prefix).expect_err("nothing to take");
        assert_eq!(
            error.paragraph(),
            "the arguments of main do not fit the listeners: no listener is left for 'l', no listener is configured: \
             set listen in the attribute or the builder, or MYAPP_LISTEN. Give main one argument per listener, called \
             like it where it has a name; MYAPP_LISTEN replaces the list that it was written with."
        );
    }
}
