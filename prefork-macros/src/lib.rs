//! The attribute of [`prefork`](https://docs.rs/prefork): turns `main` into master and workers.
//!
//! Use it as `#[prefork::main]`; this crate is a part of `prefork` and says nothing by itself. The way of an expansion is
//! that of the files: `args` reads the arguments as written, `check` and `value` understand them, `item` and `signature`
//! do the same for the function, `expand` writes one call into the runtime.

#![forbid(unsafe_code)]

mod args;
mod beside;
mod check;
mod errors;
mod expand;
mod item;
mod signature;
#[cfg(test)]
mod tests;
mod value;

use proc_macro::TokenStream;
use quote::quote;

/// Turns a `main` into a supervised family of processes.
///
/// The program becomes the master: it binds the listeners and starts workers, each of which runs the function.
///
/// ```ignore
/// #[prefork::main(listen = "0.0.0.0:8080", workers = "auto")]
/// async fn main(listener: prefork::net::Listener) -> std::io::Result<()> {
///     axum::serve(listener, app()).with_graceful_shutdown(prefork::shutdown()).await
/// }
/// ```
///
/// # Options
///
/// `key = value`, where the value is a literal, checked at compile time, or an expression. The keys are the setters of
/// `prefork::Prefork`, documented there. Two more say how to expand:
///
/// - `crate = path`: where `prefork` is found, if it was renamed or re-exported.
/// - `runtime = path`: what runs an `async fn`, a function that takes the future and returns its output, such as
///   `smol::block_on`.
///
/// # The function
///
/// It may be `async`, have any name, any return type that is `Termination`, or `!`, and arguments that are `prefork::Argument`:
/// what the body wants from the worker. A listener with a name (`"http=0.0.0.0:80"`) goes to the argument of that name, and to
/// no other; listeners without one go to the other arguments in order.
///
/// An `async fn` runs on the runtime of an attribute below, such as `#[tokio::main]`, else on that of `runtime`, else on a
/// current-thread runtime of tokio (feature `tokio`). Above `#[prefork::main]` such an attribute works as well, if the
/// function has no arguments.
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    main_tokens(arguments.into(), &item.into()).into()
}

/// The same on tokens that exist outside of a compiler, too.
fn main_tokens(
    arguments: proc_macro2::TokenStream,
    item: &proc_macro2::TokenStream,
) -> proc_macro2::TokenStream {
    let mut errors = errors::Errors::default();
    let config = check::check(args::parse(arguments, &mut errors), &mut errors);
    let function = match syn::parse2::<item::Item>(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            errors.push(syn::Error::new(
                error.span(),
                "expected a function with a body",
            ));
            let errors = errors.into_tokens();
            return quote!(#item #errors);
        }
    };
    signature::check(&function, &config, &mut errors);
    beside::check(&function, &config, &mut errors);
    if !errors.is_empty() {
        return expand::harmless(&function, errors);
    }
    expand::expand(&config, &function)
}
