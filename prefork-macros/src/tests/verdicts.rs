//! The attribute's side of the table that holds all three doors together: a text gets the verdict that builder and
//! environment give it. Their side is in `prefork/src/config/tests/verdicts.rs`.

use prefork_options::{TABLE, quote as quoted};
use quote::{format_ident, quote};

use crate::main_tokens;

const VERDICTS: &str = include_str!("../../../prefork/options/tests/verdicts.txt");

#[test]
fn the_attribute_gives_the_verdicts_of_the_table() {
    for line in VERDICTS
        .lines()
        .filter(|line| line.contains('|') && !line.starts_with('#'))
    {
        let [kind, text, verdict] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
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
            // As the text of an error stands in the tokens.
            let expected = verdict.trim_end_matches('…').replace('"', "\\\"");
            let is_refused = found.contains("compile_error");
            assert_eq!(is_refused, !verdict.is_empty(), "{}: {found}", quoted(line));
            assert!(found.contains(&expected), "{line}: {found}");
        }
    }
}
