//! The behaviours of the ancestor, one row after another: a test's name begins with its row. What
//! each row says stands in `docs/ANCESTOR.md`.

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
