//! The expansion of the attribute: a `main` with one call into the runtime.
//!
//! It knows the names in `__private` and the setters of the builder. It checks nothing. The
//! function of the user does not change, but moves one level deeper:
//!
//! ```text
//! fn main() -> ExitCode {                                     // the entry of the program
//!     use ::prefork::__private as __prefork_runtime;
//!     async fn main(listener: Listener) -> Result<()> { … }   // the function of the user
//!     async fn __prefork_call() -> Result<()> { … }           // takes the arguments, calls it, reports its end
//!     let _ = main;                                           // a second use of the function, see below
//!     return __prefork_runtime::run(
//!         |__prefork| { let __prefork = __prefork.workers(4); __prefork },
//!         [__prefork_runtime::ArgumentSpec::of::<Listener>("listener")],
//!         {
//!             #[tokio::main]                                  // the other attributes of the function
//!             async fn main() -> Result<()> { __prefork_call().await }
//!             main
//!         },
//!     );
//! }
//! ```
//!
//! The innermost `main` is for attributes of other crates: it has the name that they expect, and no
//! arguments, which most of them reject. The arguments are taken inside the runtime of such an
//! attribute, because a tokio listener needs that runtime.
//!
//! A token that can cause a type error has the span of the user's code. The path of the crate
//! occurs once, so that a wrong path is one error. No `allow` is generated for lints of rustc,
//! because it would be an error under `forbid`.
//!
//! Two lints of clippy apply to generated code with spans of the user. `single_call_fn` reports a
//! function that is used once, so the function of the user is used twice. `implicit_return` reports
//! a result without `return` between braces of the user, so `return` is generated.
//! `tests/tests/lints.rs` compares all lints with and without the attribute.

use prefork_options::Row;
use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, FnArg, Pat, PatType, ReturnType, Signature, Type};

use crate::check::{Arguments, Setting};
use crate::errors::Errors;
use crate::item::{CALL, Item};
use crate::signature::is_uncallable;

/// The whole expansion, for arguments and a function without errors.
pub(crate) fn expand(config: &Arguments, item: &Item) -> TokenStream {
    let signature = &item.signature;
    let krate = crate_path(config);
    let (user, call) = (user(item), call(signature));
    let options = config.options.iter().map(|option| setting(config, option));
    let wants = arguments(signature).map(want);
    let entry = entry(config, item);
    // With this span, rustc reports a return type that does not implement `Termination`.
    let run = quote_spanned! {span_of_result(signature)=>
        __prefork_runtime::run(|__prefork| { #(#options)* __prefork }, [#(#wants),*], #entry)
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

/// The expansion if there are errors.
///
/// It contains the function of the user, for editors, and a `main`, so that rustc does not report a
/// missing `main` too.
pub(crate) fn fallback(item: &Item, errors: Errors) -> TokenStream {
    let user = (!is_uncallable(&item.signature)).then(|| user(item));
    let function = outside(item, &quote!(#user ::std::process::ExitCode::FAILURE));
    let errors = errors.into_tokens();
    quote!(#function #errors)
}

/// The function that the rest of the program sees.
///
/// `fn` and the braces have spans of the user. Otherwise, rustc would regard the function as
/// generated, and skip lints such as `dead_code` and `missing_docs`.
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
    // The result is the exit status of the process.
    let has_must_use = outside
        .iter()
        .any(|attribute| attribute.path().is_ident("must_use"));
    let must_use = (!has_must_use).then(|| quote!(#[must_use]));
    quote! {
        #(#outside)*
        #must_use
        #visibility #fn_token #ident() -> ::std::process::ExitCode #body
    }
}

/// The path of the crate, with the span of the key `crate` if it is set.
fn crate_path(config: &Arguments) -> TokenStream {
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
    // Arguments are passed by value, and the user cannot change that.
    let by_value =
        (!signature.inputs.is_empty()).then(|| quote!(#[allow(clippy::needless_pass_by_value)]));
    quote!(#by_value #(#inside)* #signature #body)
}

/// The function without arguments that calls the function of the user.
///
/// It takes the arguments from the worker. It reports the end of the user's function before a
/// runtime waits for tasks that still run.
fn call(signature: &Signature) -> TokenStream {
    let Signature {
        asyncness, ident, ..
    } = signature;
    let (output, wait, call) = (output(signature), wait(signature), call_name());
    let values = arguments(signature).enumerate().map(|(number, argument)| {
        let (cfgs, index) = (cfgs(argument), index(signature, number));
        quote!(#(#cfgs)* __prefork_runtime::extract(#index))
    });
    let main = quote!(#ident(#(#values),*) #wait);
    let guard = quote!(__prefork_runtime::MainGuard::new());
    // A call that never returns can only panic, and code after it would be unreachable.
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

/// The function that the runtime calls in a worker.
fn entry(config: &Arguments, item: &Item) -> TokenStream {
    let Item {
        foreign, signature, ..
    } = item;
    let Signature {
        asyncness, ident, ..
    } = signature;
    let call = call_name();
    if foreign.is_empty() {
        return with_runtime(config, &call.to_token_stream());
    }
    let (output, wait) = (output(signature), wait(signature));
    let started = with_runtime(config, &ident.to_token_stream());
    quote! {{
        #(#foreign)*
        #asyncness fn #ident() #output { #call() #wait }
        #started
    }}
}

/// A function as the runtime calls it, inside the function of the key `runtime`.
fn with_runtime(config: &Arguments, function: &TokenStream) -> TokenStream {
    let Some(runtime) = &config.runtime else {
        return function.clone();
    };
    // A variable, because rustc reports a type error at the span of the variable: at the path.
    let future = quote_spanned!(generated_at(runtime.span())=> __prefork_future);
    quote! {
        || {
            let #future = #function();
            #runtime(#future)
        }
    }
}

/// One option, as a call of the setter, which gives hover, completion and type errors.
///
/// Name and parentheses have spans of the user: the setter takes its `Location` from them.
fn setting(config: &Arguments, Setting { name, value }: &Setting) -> TokenStream {
    let mut arguments = Group::new(Delimiter::Parenthesis, value.to_token_stream());
    arguments.set_span(name.span());
    let call = quote!(let __prefork = __prefork.#name #arguments;);
    let row = Row::find(&name.unraw().to_string());
    if row.and_then(|row| row.feature) != Some("tls") {
        return call;
    }
    // Without feature `tls`, the macro is an error that names the feature, instead of the call.
    let krate = crate_path(config);
    let with_tls = quote_spanned!(generated_at(name.span())=> ::__with_tls!);
    quote!(#krate #with_tls { #name: #call })
}

/// What one argument takes from the worker.
///
/// The expansion names the type of the argument only here, so that a wrong type is one error, at
/// its span.
fn want(argument: &PatType) -> TokenStream {
    let (cfgs, ty, name) = (cfgs(argument), &argument.ty, argument_name(&argument.pat));
    quote!(#(#cfgs)* __prefork_runtime::ArgumentSpec::of::<#ty>(#name))
}

/// Wraps the call for an `async fn` that needs the runtime of feature `tokio`.
///
/// Other runtimes are those of an attribute or of the key `runtime`. Without feature `tokio`, the
/// macro is an error that names the feature, instead of the call.
fn with_tokio(config: &Arguments, item: &Item, run: TokenStream) -> TokenStream {
    let Some(asyncness) = &item.signature.asyncness else {
        return run;
    };
    if config.runtime.is_some() || !item.foreign.is_empty() {
        return run;
    }
    let span = generated_at(asyncness.span());
    let krate = config.krate.as_ref().map_or_else(
        || quote_spanned!(span=> ::prefork),
        ToTokens::to_token_stream,
    );
    let with_tokio = quote_spanned!(span=> ::__with_tokio!);
    // The error points to the tokens from the path to the parenthesis.
    let mut run = Group::new(Delimiter::Parenthesis, run);
    run.set_span(span);
    quote!(#krate #with_tokio #run)
}

pub(crate) fn arguments(signature: &Signature) -> impl Iterator<Item = &PatType> {
    signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(argument) => Some(argument),
        FnArg::Receiver(_) => None,
    })
}

/// The index of an argument among those that `cfg` does not remove.
fn index(signature: &Signature, number: usize) -> TokenStream {
    let before: Vec<_> = arguments(signature).take(number).map(cfgs).collect();
    if before.iter().all(Vec::is_empty) {
        return quote!(#number);
    }
    quote! {{
        const __PREFORK_BEFORE: &[()] = &[#(#(#before)* ()),*];
        __PREFORK_BEFORE.len()
    }}
}

/// The conditions of an argument, which also apply to the code that is generated for it.
fn cfgs(argument: &PatType) -> Vec<&Attribute> {
    argument
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
        .collect()
}

/// The name of the listener that an argument takes; empty for a pattern.
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

/// The return type of generated functions.
///
/// `!` becomes a type that the runtime can be generic over. A call that never returns has any type.
fn output(signature: &Signature) -> TokenStream {
    match &signature.output {
        ReturnType::Type(arrow, ty) if matches!(**ty, Type::Never(_)) => {
            quote!(#arrow ::std::process::ExitCode)
        }
        other => other.to_token_stream(),
    }
}

fn span_of_result(signature: &Signature) -> Span {
    generated_at(match &signature.output {
        ReturnType::Type(_, ty) => ty.span(),
        ReturnType::Default => signature.ident.span(),
    })
}

/// A span for generated tokens.
///
/// Errors point to the code of the user at this span, and lints of style skip the tokens.
fn generated_at(span: Span) -> Span {
    Span::call_site().located_at(span)
}

fn wait(signature: &Signature) -> Option<TokenStream> {
    signature.asyncness.as_ref().map(|_| quote!(.await))
}
