//! Attributes in a `cfg_attr` work as without the condition: runtimes and lints.

#![deny(warnings)]

#[prefork::main(workers = 0, listen = "127.0.0.1:0")]
#[cfg_attr(all(), tokio::main(flavor = "multi_thread", worker_threads = 2), allow(unused_variables))]
#[cfg_attr(any(), no::such::attribute)]
async fn main(listener: prefork::net::Listener) -> std::io::Result<()> {
    tokio::task::block_in_place(|| {});
    Ok(())
}

#[prefork::main(workers = 0)]
#[cfg_attr(any(), tokio::main)]
#[allow(dead_code)]
async fn without_the_condition_the_runtime_is_that_of_prefork() {}
