//! Fuzzes every option with any text as its value, and the suggestions with any text as a name.

#![no_main]

use libfuzzer_sys::fuzz_target;
use prefork_options::{TABLE, suggest};

fuzz_target!(|text: &str| {
    for row in TABLE {
        if let Err(error) = row.check(text) {
            let shown = error.to_string();
            assert!(
                shown.len() < 2_000 && !shown.contains(char::is_control),
                "{shown:?}"
            );
        }
    }
    let _ = suggest::hint(text, TABLE.iter().map(|row| row.name));
});
