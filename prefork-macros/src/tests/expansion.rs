//! What the attribute expands to, token by token.

use proc_macro2::TokenStream;
use quote::quote;

use crate::main_tokens;

/// Compares tokens, so that white space does not matter.
fn assert_expands(arguments: TokenStream, item: &TokenStream, expected: &TokenStream) {
    let found = main_tokens(arguments, item);

    assert_eq!(found.to_string(), expected.to_string());
}

#[test]
fn the_shortest_form_is_one_call() {
    assert_expands(
        quote!(workers = "auto", recover_threshold = 8),
        &quote!(
            fn main() {
                serve()
            }
        ),
        &quote! {
            #[must_use]
            fn main() -> ::std::process::ExitCode {
                use ::prefork::__private as __prefork_runtime;
                fn main() { serve() }
                fn __prefork_call() {
                    use __prefork_runtime::Describe as _;
                    __prefork_runtime::MainGuard::new()
                        .returned(main(), |__prefork_returned| __prefork_returned.failure())
                }
                let _ = main;
                return __prefork_runtime::run(
                    |__prefork| { let __prefork = __prefork.workers("auto"); let __prefork = __prefork.recover_threshold(8); __prefork },
                    [],
                    __prefork_call
                );
            }
        },
    );
}

#[test]
fn attributes_of_other_crates_get_a_function_without_arguments() {
    assert_expands(
        quote!(crate = crate::reexport),
        &quote! {
            /// Serves.
            #[tokio::main(flavor = "current_thread")]
            #[inline]
            pub async fn main(_http: Listener, Worker { .. }: Worker) -> io::Result<()> { serve().await }
        },
        &quote! {
            /// Serves.
            #[inline]
            #[must_use]
            pub fn main() -> ::std::process::ExitCode {
                use crate::reexport::__private as __prefork_runtime;
                #[allow(clippy::needless_pass_by_value)]
                #[inline]
                async fn main(_http: Listener, Worker { .. }: Worker) -> io::Result<()> { serve().await }
                async fn __prefork_call() -> io::Result<()> {
                    use __prefork_runtime::Describe as _;
                    __prefork_runtime::MainGuard::new()
                        .returned(main(__prefork_runtime::extract(0usize), __prefork_runtime::extract(1usize)).await, |__prefork_returned| __prefork_returned.failure())
                }
                let _ = main;
                return __prefork_runtime::run(
                    |__prefork| { __prefork },
                    [
                        __prefork_runtime::ArgumentSpec::of::<Listener>("http"),
                        __prefork_runtime::ArgumentSpec::of::<Worker>("")
                    ],
                    {
                        #[tokio::main(flavor = "current_thread")]
                        async fn main() -> io::Result<()> { __prefork_call().await }
                        main
                    }
                );
            }
        },
    );
}

#[test]
fn an_async_function_uses_the_runtime_of_prefork() {
    assert_expands(
        quote!(runtime_threads = 4),
        &quote!(
            #[must_use]
            async fn serve(#[cfg(a)] worker: Worker) {}
        ),
        &quote! {
            #[must_use]
            fn serve() -> ::std::process::ExitCode {
                use ::prefork::__private as __prefork_runtime;
                #[allow(clippy::needless_pass_by_value)]
                async fn serve(#[cfg(a)] worker: Worker) {}
                async fn __prefork_call() {
                    use __prefork_runtime::Describe as _;
                    __prefork_runtime::MainGuard::new()
                        .returned(serve(#[cfg(a)] __prefork_runtime::extract(0usize)).await, |__prefork_returned| __prefork_returned.failure())
                }
                let _ = serve;
                return ::prefork::__with_tokio!(__prefork_runtime::run(
                    |__prefork| { let __prefork = __prefork.runtime_threads(4); __prefork },
                    [#[cfg(a)] __prefork_runtime::ArgumentSpec::of::<Worker>("worker")],
                    __prefork_call
                ));
            }
        },
    );
}

#[test]
fn a_runtime_function_gets_the_future() {
    assert_expands(
        quote!(runtime = smol::block_on),
        &quote!(
            async fn main() -> ! {
                loop {}
            }
        ),
        &quote! {
            #[must_use]
            fn main() -> ::std::process::ExitCode {
                use ::prefork::__private as __prefork_runtime;
                async fn main() -> ! { loop {} }
                async fn __prefork_call() -> ::std::process::ExitCode {
                    let __prefork_guard = __prefork_runtime::MainGuard::new();
                    main().await
                }
                let _ = main;
                return __prefork_runtime::run(
                    |__prefork| { __prefork },
                    [],
                    || {
                        let __prefork_future = __prefork_call();
                        smol::block_on(__prefork_future)
                    }
                );
            }
        },
    );
}

#[test]
fn an_item_that_is_no_function_is_kept_with_an_error() {
    assert_expands(
        quote!(workers = 4),
        &quote!(
            struct Server;
        ),
        &quote! {
            struct Server;
            ::core::compile_error! { "expected a function with a body" }
        },
    );
}

#[test]
fn an_argument_that_cfg_removes_does_not_count() {
    let found = main_tokens(
        quote!(),
        &quote!(
            fn main(#[cfg(a)] x: X, #[allow(b)] y: Y) {}
        ),
    )
    .to_string();

    let call = quote! {
        main(
            #[cfg(a)] __prefork_runtime::extract(0usize),
            __prefork_runtime::extract({
                const __PREFORK_BEFORE: &[()] = &[#[cfg(a)] ()];
                __PREFORK_BEFORE.len()
            })
        )
    };
    assert!(found.contains(&call.to_string()), "{found}");
    let wants = quote! {
        [#[cfg(a)] __prefork_runtime::ArgumentSpec::of::<X>("x"), __prefork_runtime::ArgumentSpec::of::<Y>("y")]
    };
    assert!(found.contains(&wants.to_string()), "{found}");
}

#[test]
fn an_async_function_with_another_runtime_does_not_use_that_of_prefork() {
    let uses_tokio = |arguments, item: TokenStream| {
        main_tokens(arguments, &item)
            .to_string()
            .contains("__with_tokio")
    };

    assert!(uses_tokio(
        quote!(),
        quote!(
            #[inline]
            async fn main() {}
        )
    ));
    assert!(!uses_tokio(
        quote!(),
        quote!(
            fn main() {}
        )
    ));
    assert!(!uses_tokio(
        quote!(),
        quote!(
            #[tokio::main]
            async fn main() {}
        )
    ));
    assert!(!uses_tokio(
        quote!(runtime = smol::block_on),
        quote!(
            async fn main() {}
        )
    ));
}

#[test]
fn a_function_that_never_returns_gets_a_result() {
    let found = main_tokens(
        quote!(),
        &quote!(
            fn main() -> ! {
                loop {}
            }
        ),
    )
    .to_string();

    let call = quote!(
        fn __prefork_call() -> ::std::process::ExitCode {
            let __prefork_guard = __prefork_runtime::MainGuard::new();
            main()
        }
    );
    assert!(found.contains(&call.to_string()), "{found}");
}

#[test]
fn errors_leave_a_main_and_the_function() {
    assert_expands(
        quote!(workers = true),
        &quote!(#[tokio::main] async fn main(_a: A) { half written }),
        &quote! {
            #[must_use]
            fn main() -> ::std::process::ExitCode {
                #[allow(clippy::needless_pass_by_value)]
                async fn main(_a: A) { half written }
                ::std::process::ExitCode::FAILURE
            }
            ::core::compile_error! {
                "expected \"auto\", \"auto-1\", \"50%\" or a number from 0 to 10000, found a boolean"
            }
        },
    );
}
