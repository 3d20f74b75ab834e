//! Reports arguments without a possible listener, and listeners without an argument.
//!
//! It compares the names in the source by the same rule as the master. An error means that the
//! program cannot start as it is written, although the environment could replace the listeners at
//! run time. An expression in `listen` or a `configure` function can set any names, so there is no
//! check with them. Types are recognized by their names only; any other type may take listeners
//! itself.

use prefork_options::assign_listeners::{
    self, ArgumentName, AssignError, ListenerDemand, Unmatched,
};
use prefork_options::{Address, list};
use syn::{Expr, FnArg, GenericArgument, PatType, PathArguments, Type};

use crate::check::Arguments;
use crate::errors::Errors;
use crate::expand::{argument_name, arguments};
use crate::item::Item;
use crate::value::{bare, known_addresses};

/// Reports the first argument or listener that is left.
pub(crate) fn check(item: &Item, config: &Arguments, errors: &mut Errors) {
    let has_receiver = |input: &FnArg| matches!(input, FnArg::Receiver(_));
    if item.signature.inputs.iter().any(has_receiver) {
        return;
    }
    let Some(listeners) = listeners(config) else {
        return;
    };
    let arguments: Vec<&PatType> = arguments(&item.signature).collect();
    let names: Vec<String> = arguments
        .iter()
        .map(|one| argument_name(&one.pat))
        .collect();
    let wanted = names.iter().zip(&arguments);
    let wanted: Vec<ArgumentName<'_>> = wanted
        .map(|(name, argument)| ArgumentName {
            name,
            takes: takes_of(argument),
        })
        .collect();
    let known: Vec<&str> = listeners.iter().map(|(_, name)| name.as_str()).collect();
    if let Err(AssignError { of, reason }) = assign_listeners::assign(&wanted, &known) {
        let all = known.join("', '");
        let text = format!(
            "the arguments of `{}` do not fit the listeners: {reason}; `listen` has '{all}'",
            item.signature.ident
        );
        match of {
            Unmatched::Argument(index) => errors.at(arguments[index], text),
            Unmatched::Listener(index) => errors.at(listeners[index].0, text),
        }
    }
}

/// The listeners, each with its expression and its name.
///
/// `None` if the source does not contain all of them, or `configure` can change them.
fn listeners(config: &Arguments) -> Option<Vec<(&Expr, String)>> {
    let value = |name| {
        let mut options = config.options.iter();
        options.find(|option| option.name == name)
    };
    let listen = &value("listen")?.value;
    if value("configure").is_some() {
        return None;
    }
    let known = known_addresses(listen);
    if let Expr::Array(array) = bare(listen)
        && array.elems.len() != known.len()
    {
        return None;
    }
    let (elements, addresses): (Vec<_>, Vec<_>) = known.into_iter().unzip();
    // A duplicate name was reported with the value.
    let named = list::name(addresses)
        .ok()
        .filter(|named| !named.is_empty())?;
    let elements = elements.into_iter().zip(named);
    let with_name = |(element, address): (_, Address)| Some((element, address.name?));
    Some(elements.filter_map(with_name).collect())
}

/// What an argument takes.
///
/// `Later` if that is unknown: such an argument never lacks a listener, and may take any that is
/// left.
fn takes_of(argument: &PatType) -> ListenerDemand {
    // With a condition, the argument may be absent.
    let has_condition = |name| argument.attrs.iter().any(|one| one.path().is_ident(name));
    if has_condition("cfg") || has_condition("cfg_attr") {
        return ListenerDemand::Later;
    }
    takes(&argument.ty)
}

fn takes(ty: &Type) -> ListenerDemand {
    let path = match ty {
        Type::Path(path) if path.qself.is_none() => &path.path,
        Type::Paren(inner) => return takes(&inner.elem),
        Type::Group(inner) => return takes(&inner.elem),
        _ => return ListenerDemand::Later,
    };
    let Some(last) = path.segments.last() else {
        return ListenerDemand::Later;
    };
    match (last.ident.to_string().as_str(), &last.arguments) {
        (
            "Listener" | "TlsListener" | "TcpListener" | "UnixListener" | "UdpSocket"
            | "UnixDatagram",
            PathArguments::None,
        ) => ListenerDemand::Listener,
        ("Ready", PathArguments::None) => ListenerDemand::Nothing,
        ("Result", PathArguments::AngleBracketed(arguments)) => match arguments.args.first() {
            Some(GenericArgument::Type(inner)) => takes(inner),
            _ => ListenerDemand::Later,
        },
        _ => ListenerDemand::Later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{args, check};

    fn verdict(options: &str, function: &str) -> String {
        let mut errors = Errors::default();
        let pairs = args::parse(options.parse().expect("balanced tokens"), &mut errors);
        let config = check::check(pairs, &mut errors);
        let item = syn::parse_str(function).expect("a function");
        check(&item, &config, &mut errors);
        errors.into_tokens().to_string()
    }

    #[test]
    fn names_that_can_never_match_are_rejected() {
        for (options, function, message) in [
            (
                "listen = [\"http=:80\", \"admin=:81\"]",
                "fn main(htpp: Listener, admin: net::Listener) {}",
                "no listener is named 'htpp' (did you mean 'http'?); 'http' is only for an argument with this name; \
                 `listen` has 'http', 'admin'",
            ),
            (
                "listen = \"http=:80,:81\"",
                "async fn main(_http: Listener) {}",
                "no argument takes listener 'listener1'; `listen` has 'http', 'listener1'",
            ),
            (
                "listen = [\"http=:80\", \":81\"]",
                "fn main(l: Listener, http: TlsListener, r: Result<TcpListener, FromWorkerError>) {}",
                "no listener is left for 'r'; there are only 'http', 'listener1'",
            ),
            (
                "listen = \"http=:80\"",
                "fn main(l: std::net::TcpListener, worker: Worker, other: Shard) {}",
                "no listener is named 'l'; 'http' is only for an argument with this name",
            ),
            (
                "listen = [\"http=:80\", \"admin=:81\"]",
                "fn main(http: Listener, ready: Ready) {}",
                "no argument takes listener 'admin': none has this name",
            ),
            (
                "listen = [\"http=:80\"]",
                "fn main((a): (Listener), b: Listener) {}",
                "do not fit the listeners",
            ),
        ] {
            let errors = verdict(options, function);
            assert!(errors.contains(message), "{function}: {errors}");
            assert_eq!(errors.matches("compile_error").count(), 1, "{errors}");
        }
    }

    #[test]
    fn names_that_may_match_pass() {
        for (options, function) in [
            ("", "fn main(http: Listener) {}"),
            ("listen = \":80\"", "fn main(any: Listener) {}"),
            ("listen = \":80\"", "fn main() {}"),
            ("listen = \"http=:80\"", "fn main(worker: Worker) {}"),
            ("listen = \"http=:80\"", "fn main(front: Front) {}"),
            ("listen = \"http=:80\"", "fn main(_http: r#Listener) {}"),
            (
                "listen = [\"http=:80\", \":81\"]",
                "fn main(any: Listener, http: Listener) {}",
            ),
            (
                "listen = [\"http=:80\", \"admin=:81\"]",
                "fn main(http: Listener, worker: Worker) {}",
            ),
            (
                "listen = [\"http=:80\", \"admin=:81\"]",
                "fn main(http: Listener, admin: Front) {}",
            ),
            (
                "listen = [\"http=:80\", OTHER]",
                "fn main(nothing: Listener) {}",
            ),
            ("listen = addresses()", "fn main(nothing: Listener) {}"),
            (
                "listen = \"http=:80\", configure = flags",
                "fn main(nothing: Listener) {}",
            ),
            (
                "listen = [\"http=:80\", \"admin=:81\"]",
                "fn main(http: Listener, #[cfg(unix)] admin: Listener) {}",
            ),
        ] {
            assert_eq!(verdict(options, function), "", "{options}: {function}");
        }
    }
}
