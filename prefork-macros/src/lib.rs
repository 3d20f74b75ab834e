//! The attribute `#[prefork::main]`, which turns `main` into a master and its workers.
//!
//! This crate is an internal part of `prefork`: depend on `prefork` instead.
//!
//! An expansion passes through the files in this order:
//!
//! - `args` reads the arguments of the attribute; `check` and `value` check them.
//! - `item` reads the function; `signature` checks its signature, `other_attributes` its other
//!   attributes, and `listeners` its arguments.
//! - `expand` generates one call into the runtime.

#![forbid(unsafe_code)]

mod args;
mod attribute;
mod check;
mod debug;
mod errors;
mod expand;
mod item;
mod listeners;
mod other_attributes;
mod signature;
#[cfg(test)]
mod tests;
mod value;

use attribute::main_tokens;
use proc_macro::TokenStream;

/// Runs `main` in supervised worker processes.
///
/// The program becomes the master: it binds the listeners and starts the workers. Each worker runs
/// the function.
///
/// ```no_run
/// #[prefork::main(listen = "0.0.0.0:8080", workers = "auto", recover_threshold = 8)]
/// fn main(listener: prefork::net::Listener) -> std::io::Result<()> {
///     while let Some(connection) = listener.blocking_accept() {
///         let (stream, peer) = connection?;
///         println!("{peer} connected");
///         drop(stream);
///     }
///     Ok(())
/// }
/// ```
///
/// # Options
///
/// Options have the form `key = value`. Each setter of `prefork::Prefork` is a key; the
/// documentation of the setter has the unit and the default. A value is a literal, which is checked
/// at compile time, or any expression that the setter accepts:
///
/// ```no_run
/// use std::io::Write;
/// use std::time::Duration;
///
/// const THRESHOLD: u32 = 8;
///
/// #[prefork::main(
///     listen = ["http=0.0.0.0:8080", "127.0.0.1:9000"],   // one address, or an array
///     workers = "auto",                                   // or a number
///     recover_threshold = 2 * THRESHOLD,                  // any expression
///     recover_window = "1m30s",                           // h, m, s, ms; or "forever"
///     shutdown_grace_period = Duration::from_secs(5),
///     reuseport = false,
///     on_child_spawn = |child| drop(writeln!(std::io::stdout(), "pid {}", child.pid())),
///     on_master_ready = announce,                         // a function or a closure
/// )]
/// fn main(worker: prefork::Worker) {
///     println!("worker {}", worker.slot());
/// }
///
/// fn announce(master: &prefork::MasterReady) -> std::io::Result<()> {
///     std::fs::write("server.pids", format!("{:?}", master.pids()))
/// }
/// ```
///
/// Two more keys control the expansion:
///
/// - `crate = path`: the path of `prefork`, if the crate was renamed or re-exported.
/// - `runtime = path`: the function that runs an `async fn`. It takes the future and returns its
///   output.
///
/// ```
/// mod server {
///     pub use prefork as supervised;
/// }
///
/// #[server::supervised::main(crate = crate::server::supervised, workers = 0, runtime = block_on)]
/// async fn main() -> std::process::ExitCode {
///     std::process::ExitCode::SUCCESS
/// }
///
/// fn block_on<T>(future: impl Future<Output = T>) -> T {
///     let runtime = tokio::runtime::Builder::new_current_thread().build();
///     runtime.expect("a runtime").block_on(future)
/// }
/// ```
///
/// # The function
///
/// The function may be `async` and have any name. It returns `!` or any type that implements
/// `Termination`; the result is the exit status of the worker. Its code, its attributes and its
/// lints do not change.
///
/// ```no_run
/// #[prefork::main(workers = 2)]
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     std::fs::read_to_string("greeting")?;
///     Ok(())
/// }
/// # #[prefork::main]
/// # fn forever() -> ! {
/// #     loop {}
/// # }
/// ```
///
/// Each argument has a type that implements `prefork::FromWorker`; the order of the arguments does
/// not matter. A listener with a name (`"http=0.0.0.0:80"`) goes to the argument with the same
/// name, and to no other argument. Listeners without a name go to the other arguments in order. The
/// argument `_http` has the name `http`.
///
/// ```no_run
/// use prefork::net::Listener;
///
/// #[prefork::main(listen = ["admin=127.0.0.1:9000", "0.0.0.0:8080"])]
/// fn main(worker: prefork::Worker, public: Listener, admin: Listener) {
///     println!("{}: {:?}, {:?}", worker.slot(), public.local_addr(), admin.local_addr());
/// }
/// ```
///
/// Arguments and listeners that can never fit are a compile error: an argument that takes a
/// listener and finds none in `listen`, or a listener that no argument takes. The attribute
/// recognizes types by their names, and does not check addresses that are expressions.
///
/// The function must not be `const`, `unsafe`, `extern`, generic, variadic or a method. It must not
/// take `impl Trait` or return `_`. The attribute cannot generate a call of such a function.
///
/// # Runtimes
///
/// An `async fn` runs on the first of these runtimes that exists:
///
/// 1. the runtime of another attribute of the function, such as `#[tokio::main]`;
/// 2. the runtime of the key `runtime`;
/// 3. a tokio runtime of `prefork` (feature `tokio`) with `runtime_threads` threads. The default is
///    one thread per worker.
///
/// ```no_run
/// #[prefork::main(workers = 2, runtime_threads = 4)]
/// async fn main() {
///     tokio::spawn(async {}).await.expect("no panic");
/// }
/// ```
///
/// Put `#[tokio::main]`, `#[actix_web::main]`, `#[rocket::main]` and similar attributes below
/// `#[prefork::main]`. If they are above it, they accept only a function without arguments.
/// `#[cfg_attr(condition, tokio::main)]` below it has the same effect if the condition is true. The
/// master never has a runtime.
///
/// ```no_run
/// #[prefork::main(listen = "127.0.0.1:8080", workers = 2)]
/// #[tokio::main(flavor = "multi_thread", worker_threads = 2)]
/// async fn main(listener: prefork::net::Listener) {
///     prefork::shutdown().await;
///     drop(listener);
/// }
/// ```
///
/// `#[rocket::launch]` does not work with this attribute: it generates its own `main`, which starts
/// no workers. Use `#[rocket::main]` and `rocket.launch().await` instead.
///
/// # Compile errors
///
/// The attribute reports all errors in one pass, each at its own span. It keeps the function, so
/// that completion in an editor still works. For an unknown option, the error suggests an option
/// with a similar name. If the name is that of an option of another server, such as fasthttp,
/// gunicorn, nginx, puma or pm2, the error names the option of prefork:
///
/// ```compile_fail
/// #[prefork::main(processes = 4)] // unknown option `processes`; use `workers`
/// fn main() {}
/// ```
///
/// # Expansion
///
/// The attribute expands to one call into the runtime. `PREFORK_MACRO_DEBUG=1 cargo build` prints
/// the expansion to stderr when the crate is compiled (run `touch src/main.rs` first if it is up to
/// date).
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let expansion = main_tokens(arguments.into(), &item.into());
    let span = proc_macro::Span::call_site();
    debug::show(&expansion, &span.file(), span.line());
    expansion.into()
}
