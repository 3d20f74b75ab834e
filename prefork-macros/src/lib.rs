//! The attribute of [`prefork`](https://docs.rs/prefork): turns `main` into master and workers.
//!
//! Use it as `#[prefork::main]`; this crate is a part of `prefork` and says nothing by itself. The way of an expansion is
//! that of the files: `args` reads the arguments as written, `check` and `value` understand them, `item` and `signature`
//! do the same for the function, `beside` for its attributes and `listeners` for its arguments, `expand` writes one call into the runtime.

#![forbid(unsafe_code)]

mod args;
mod attribute;
mod beside;
mod check;
mod debug;
mod errors;
mod expand;
mod item;
mod listeners;
mod signature;
#[cfg(test)]
mod tests;
mod value;

use attribute::main_tokens;
use proc_macro::TokenStream;

/// Turns a `main` into a supervised family of processes.
///
/// The program becomes the master: it binds the listeners and starts workers, each of which runs the function.
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
/// `key = value`. The keys are the setters of `prefork::Prefork`, where each is documented with its unit and default. A value is a
/// literal, held against the option's rules at compile time, or any expression that the setter takes:
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
/// Two more keys say how to expand:
///
/// - `crate = path`: where `prefork` is found, if it was renamed or re-exported.
/// - `runtime = path`: what runs an `async fn`: a function that takes the future and returns its output.
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
/// It may be `async`, have any name, and return anything that is `Termination`, or `!`: in a worker what it returns is the status of
/// the process. It is left as it is, with its attributes and lints.
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
/// Its arguments are what the body wants from the worker, each a `prefork::Argument`, in any order. A listener with a name
/// (`"http=0.0.0.0:80"`) goes to the argument of that name, and to no other; listeners without one go to the other arguments in
/// order. `_http` counts as `http`.
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
/// Names in the source that can never fit are a compile error: an argument that no address in `listen` is named like, an address
/// that no argument takes. Types are known by their names here, and an expression as an address is not checked.
///
/// It cannot be `const`, `unsafe`, `extern`, generic, variadic or a method, take `impl Trait` or return `_`: nobody could call it in a
/// new process.
///
/// # Runtimes
///
/// An `async fn` runs on the runtime of an attribute beside ours, else on that of `runtime`, else on a tokio runtime of `prefork`'s own
/// (feature `tokio`), with `runtime_threads` threads: one unless said, so that a worker is one thread of work.
///
/// ```no_run
/// #[prefork::main(workers = 2, runtime_threads = 4)]
/// async fn main() {
///     tokio::spawn(async {}).await.expect("no panic");
/// }
/// ```
///
/// `#[tokio::main]`, `#[actix_web::main]`, `#[rocket::main]` and the like stand below with everything; above they want a function without
/// arguments, which is their rule. `#[cfg_attr(condition, tokio::main)]` below ours is the same where the condition holds. The
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
/// `#[rocket::launch]` cannot stand beside it, since it makes a `main` of its own that starts no workers: write `#[rocket::main]` and
/// `rocket.launch().await`.
///
/// # Mistakes
///
/// All mistakes are told in one pass, each at its place, and the function stays, so that an editor goes on completing. A name that
/// does not exist is answered with the nearest one, or with ours for what fasthttp, gunicorn, nginx, puma or pm2 call so:
///
/// ```compile_fail
/// #[prefork::main(processes = 4)] // unknown option `processes`, it is called `workers` here
/// fn main() {}
/// ```
///
/// # What it expands to
///
/// One call into the runtime. `PREFORK_MACRO_DEBUG=1 cargo build` shows it on stderr, for what is compiled anew (`touch src/main.rs`).
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let expansion = main_tokens(arguments.into(), &item.into());
    let place = proc_macro::Span::call_site();
    debug::show(&expansion, &place.file(), place.line());
    expansion.into()
}
