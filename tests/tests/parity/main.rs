//! The behaviors of `fasthttp/prefork`, row by row. The name of a test begins with its
//! row. `tests/PARITY.md` lists the tests of each row.

mod bad_children;
mod bad_machine;
mod bad_starts;
mod done;
mod examples;
mod hooks;
mod kit;
mod listeners;
mod page;
mod producer;
mod recovery;
mod role;
mod stop;
mod support;
mod tls;
mod together;
