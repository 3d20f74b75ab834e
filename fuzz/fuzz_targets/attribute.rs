//! Fuzzes the attribute with any two texts, its arguments and its item, separated by a zero byte.
//!
//! A proc-macro crate exports only its macros, so this target includes the source files as modules.

#![no_main]

#[path = "../../prefork-macros/src/args.rs"]
mod args;
#[path = "../../prefork-macros/src/attribute.rs"]
mod attribute;
#[path = "../../prefork-macros/src/check.rs"]
mod check;
#[path = "../../prefork-macros/src/debug.rs"]
#[expect(dead_code, reason = "this target prints no expansion")]
mod debug;
#[path = "../../prefork-macros/src/errors.rs"]
mod errors;
#[path = "../../prefork-macros/src/expand.rs"]
mod expand;
#[path = "../../prefork-macros/src/item.rs"]
mod item;
#[path = "../../prefork-macros/src/tests/judge.rs"]
mod judge;
#[path = "../../prefork-macros/src/listeners.rs"]
mod listeners;
#[path = "../../prefork-macros/src/other_attributes.rs"]
mod other_attributes;
#[path = "../../prefork-macros/src/signature.rs"]
mod signature;
#[path = "../../prefork-macros/src/value.rs"]
mod value;

use attribute::main_tokens;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (arguments, item) = text.split_once('\0').unwrap_or((text, "fn main() {}"));
    if let Err(complaint) = judge::judge(arguments, item) {
        panic!("{complaint}");
    }
});
