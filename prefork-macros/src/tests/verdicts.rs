//! The attribute accepts and rejects the same texts as the builder and the environment.
//!
//! All three are tested with one table. The tests of the other two are in
//! `prefork/src/config/tests/verdicts.rs`.

use prefork_options::{TABLE, quote as quoted};
use quote::{format_ident, quote};

use crate::main_tokens;

const VERDICTS: &str = include_str!("../../../prefork/options/tests/verdicts.txt");

#[test]
fn the_attribute_gives_the_results_of_the_table() {
    for line in VERDICTS
        .lines()
        .filter(|line| line.contains('|') && !line.starts_with('#'))
    {
        let [kind, text, message] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("not three columns: {line}");
        };
        for row in TABLE {
            if format!("{:?}", row.kind).to_lowercase() != kind {
                continue;
            }
            let option = format_ident!("{}", row.name);
            let found = main_tokens(
                quote!(#option = #text),
                &quote!(
                    async fn main() {}
                ),
            )
            .to_string();
            // Escaped like the literal in the tokens.
            let expected = message.trim_end_matches('…').replace('"', "\\\"");
            let is_rejected = found.contains("compile_error");
            assert_eq!(
                is_rejected,
                !message.is_empty(),
                "{}: {found}",
                quoted(line)
            );
            assert!(found.contains(&expected), "{line}: {found}");
        }
    }
}
