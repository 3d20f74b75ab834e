//! What the attribute turns into: a `main` that makes one call into the runtime.
//!
//! It knows the few names that the runtime offers to it (in `__private`, and the setters); it checks nothing. The function
//! of the user stays as it is, one level deeper:
//!
//! ```text
//! fn main() -> ExitCode {                                     // what the program calls
//!     use ::prefork::__private as __prefork_runtime;
//!     async fn main(listener: Listener) -> Result<()> { … }   // what the user wrote
//!     async fn __prefork_call() -> Result<()> { … }           // takes the arguments, calls it, reports its end
//!     let _ = main;                                           // a second use of the function, see below
//!     return __prefork_runtime::run(
//!         |__prefork| { __prefork.workers(4); },
//!         [__prefork_runtime::Want::of::<Listener>("listener")],
//!         {
//!             #[tokio::main]                                  // what stood above the user's function
//!             async fn main() -> Result<()> { __prefork_call().await }
//!             main
//!         },
//!     );
//! }
//! ```
//!
//! The innermost `main` is there for attributes of other crates: they see the name that they know and no arguments, which
//! most of them refuse. Arguments are taken inside of what these attributes make, since a tokio listener needs its runtime.
//!
//! A token that the type checker may complain about carries the span of what the user wrote. The crate's path stands in one
//! place, so that a wrong one is one error. No `allow` is generated for rustc's lints: it would be an error under `forbid`.
//!
//! Two lints of clippy look through the spans of generated code. `single_call_fn` reports a function that is used once, so
//! the user's function is used twice. `implicit_return` reports a result without `return` between braces of the user's, so
//! `return` is written. `tests/tests/lints.rs` compares all lints with and without the attribute.

use prefork_options::Row;
use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, FnArg, Pat, PatType, ReturnType, Signature, Type};

use crate::check::{Config, Setting};
use crate::errors::Errors;
use crate::item::Item;
use crate::signature::is_hopeless;

/// The function between the user's and the attributes of others.
pub(crate) const CALL: &str = "__prefork_call";

/// The whole expansion, for arguments and a function without mistakes.
pub(crate) fn expand(config: &Config, item: &Item) -> TokenStream {
    let signature = &item.signature;
    let krate = crate_path(config);
    let (user, call) = (user(item), call(signature));
    let options = config.options.iter().map(|option| setting(config, option));
    let wants = arguments(signature).map(want);
    let entry = entry(config, item);
    // Here the compiler says that a return type is no `Termination`.
    let run = quote_spanned! {place_of_result(signature)=>
        __prefork_runtime::run(|__prefork| { #(#options)* }, [#(#wants),*], #entry)
    };
    let run = with_tokio(config, item, run);
    let name = &signature.ident;
    let body = quote! {
        use #krate::__private as __prefork_runtime;
        #user
        #call
        let _ = #name;
        return #run;
    };
    outside(item, &body)
}

/// What stays when there are mistakes: the user's function, for editors, and a `main`, so that its lack is not reported
/// on top of them.
pub(crate) fn harmless(item: &Item, errors: Errors) -> TokenStream {
    let user = (!is_hopeless(&item.signature)).then(|| user(item));
    let function = outside(item, &quote!(#user ::std::process::ExitCode::FAILURE));
    let errors = errors.into_tokens();
    quote!(#function #errors)
}

/// What the rest of the program sees. `fn` and the braces are the user's, else the compiler would take the function for
/// one of ours and keep it from lints such as `dead_code` and `missing_docs`.
fn outside(item: &Item, body: &TokenStream) -> TokenStream {
    let Item {
        outside,
        visibility,
        signature,
        ..
    } = item;
    let Signature {
        fn_token, ident, ..
    } = signature;
    let mut body = Group::new(Delimiter::Brace, body.clone());
    body.set_span(item.body.span());
    // The status of the process is in the result, whoever calls this.
    let is_said = outside
        .iter()
        .any(|attribute| attribute.path().is_ident("must_use"));
    let must_use = (!is_said).then(|| quote!(#[must_use]));
    quote! {
        #(#outside)*
        #must_use
        #visibility #fn_token #ident() -> ::std::process::ExitCode #body
    }
}

/// The runtime's place, with the span of whoever named it.
fn crate_path(config: &Config) -> TokenStream {
    config
        .krate
        .as_ref()
        .map_or_else(|| quote!(::prefork), ToTokens::to_token_stream)
}

fn user(item: &Item) -> TokenStream {
    let Item {
        inside,
        signature,
        body,
        ..
    } = item;
    // Arguments are handed over by value; whether the body needs them so is not the user's choice.
    let by_value =
        (!signature.inputs.is_empty()).then(|| quote!(#[allow(clippy::needless_pass_by_value)]));
    quote!(#by_value #(#inside)* #signature #body)
}

/// The function without arguments that the entry calls: it takes them from the worker, and reports how the user's function
/// ended, before a runtime waits for what is left.
fn call(signature: &Signature) -> TokenStream {
    let Signature {
        asyncness, ident, ..
    } = signature;
    let (output, wait, call) = (output(signature), wait(signature), call_name());
    let values = arguments(signature).enumerate().map(|(place, argument)| {
        let (cfgs, place) = (cfgs(argument), index(signature, place));
        quote!(#(#cfgs)* __prefork_runtime::take(#place))
    });
    let main = quote!(#ident(#(#values),*) #wait);
    let guard = quote!(__prefork_runtime::MainGuard::new());
    // A call that never returns can only panic; what would follow it could not be reached.
    let body = if returns_never(signature) {
        quote!(let __prefork_guard = #guard; #main)
    } else {
        quote! {
            use __prefork_runtime::Describe as _;
            #guard.returned(#main, |__prefork_returned| __prefork_returned.failure())
        }
    };
    quote!(#asyncness fn #call() #output { #body })
}

fn call_name() -> Ident {
    Ident::new(CALL, Span::call_site())
}

/// What the runtime calls in a worker.
fn entry(config: &Config, item: &Item) -> TokenStream {
    let Item {
        foreign, signature, ..
    } = item;
    let Signature {
        asyncness, ident, ..
    } = signature;
    let call = call_name();
    if foreign.is_empty() {
        return started(config, &call.to_token_stream());
    }
    let (output, wait) = (output(signature), wait(signature));
    let started = started(config, &ident.to_token_stream());
    quote! {{
        #(#foreign)*
        #asyncness fn #ident() #output { #call() #wait }
        #started
    }}
}

/// A function as the runtime calls it, by way of what was named as `runtime`.
fn started(config: &Config, function: &TokenStream) -> TokenStream {
    let Some(runtime) = &config.runtime else {
        return function.clone();
    };
    // A variable, since an error about it is told where it stands: at the path.
    let future = quote_spanned!(generated_at(runtime.span())=> __prefork_future);
    quote! {
        || {
            let #future = #function();
            #runtime(#future)
        }
    }
}

/// One option, as a call of the builder's setter: hover, completion and type errors come from there. Name and parentheses
/// are the user's: what lies between them is where the setter finds that it was called from.
fn setting(config: &Config, Setting { name, value }: &Setting) -> TokenStream {
    let mut arguments = Group::new(Delimiter::Parenthesis, value.to_token_stream());
    arguments.set_span(name.span());
    let call = quote!(__prefork.#name #arguments;);
    let row = Row::find(&name.unraw().to_string());
    if row.and_then(|row| row.feature) != Some("tls") {
        return call;
    }
    // Without the feature it says so, in the place of the call.
    let krate = crate_path(config);
    let with_tls = quote_spanned!(generated_at(name.span())=> ::__with_tls!);
    quote!(#krate #with_tls { #name: #call })
}

/// What one argument asks of the worker. Its type is named here so that a wrong one is reported once, in its own place.
fn want(argument: &PatType) -> TokenStream {
    let (cfgs, ty, name) = (cfgs(argument), &argument.ty, argument_name(&argument.pat));
    quote!(#(#cfgs)* __prefork_runtime::Want::of::<#ty>(#name))
}

/// A runtime for `async` comes from an attribute, from `runtime = …`, or from our feature. Without it the macro puts an error
/// that names it in the place of the call, which could only fail in other words.
fn with_tokio(config: &Config, item: &Item, run: TokenStream) -> TokenStream {
    let Some(asyncness) = &item.signature.asyncness else {
        return run;
    };
    if config.runtime.is_some() || !item.foreign.is_empty() {
        return run;
    }
    let place = generated_at(asyncness.span());
    let krate = config.krate.as_ref().map_or_else(
        || quote_spanned!(place=> ::prefork),
        ToTokens::to_token_stream,
    );
    let with_tokio = quote_spanned!(place=> ::__with_tokio!);
    // The error is shown from the path to the parenthesis.
    let mut run = Group::new(Delimiter::Parenthesis, run);
    run.set_span(place);
    quote!(#krate #with_tokio #run)
}

pub(crate) fn arguments(signature: &Signature) -> impl Iterator<Item = &PatType> {
    signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(argument) => Some(argument),
        FnArg::Receiver(_) => None,
    })
}

/// The place of an argument among those that are not configured away.
fn index(signature: &Signature, place: usize) -> TokenStream {
    let before: Vec<_> = arguments(signature).take(place).map(cfgs).collect();
    if before.iter().all(Vec::is_empty) {
        return quote!(#place);
    }
    quote! {{
        const __PREFORK_BEFORE: &[()] = &[#(#(#before)* ()),*];
        __PREFORK_BEFORE.len()
    }}
}

/// Conditions of an argument, which hold for all that is generated for it as well.
fn cfgs(argument: &PatType) -> Vec<&Attribute> {
    argument
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
        .collect()
}

/// The name that a listener may have, or none.
pub(crate) fn argument_name(pattern: &Pat) -> String {
    match pattern {
        Pat::Ident(pattern) => pattern
            .ident
            .unraw()
            .to_string()
            .trim_start_matches('_')
            .to_owned(),
        _ => String::new(),
    }
}

fn returns_never(signature: &Signature) -> bool {
    matches!(&signature.output, ReturnType::Type(_, ty) if matches!(**ty, Type::Never(_)))
}

/// The return type of what is generated. `!` becomes a type that the runtime can be generic over; a call that never
/// returns fits it.
fn output(signature: &Signature) -> TokenStream {
    match &signature.output {
        ReturnType::Type(arrow, ty) if matches!(**ty, Type::Never(_)) => {
            quote!(#arrow ::std::process::ExitCode)
        }
        other => other.to_token_stream(),
    }
}

fn place_of_result(signature: &Signature) -> Span {
    generated_at(match &signature.output {
        ReturnType::Type(_, ty) => ty.span(),
        ReturnType::Default => signature.ident.span(),
    })
}

/// A place in the user's source for a token that is ours: errors point there, lints about style let it be.
fn generated_at(place: Span) -> Span {
    Span::call_site().located_at(place)
}

fn wait(signature: &Signature) -> Option<TokenStream> {
    signature.asyncness.as_ref().map(|_| quote!(.await))
}
