//! The attribute accepts and rejects the same texts as the builder and the environment.
//!
//! All three are tested with the texts of each kind. The tests of the other two are in
//! `prefork/src/config/tests/verdicts.rs`.

use prefork_options::TABLE;
use quote::{format_ident, quote};

use crate::main_tokens;

#[test]
fn the_attribute_gives_the_results_of_each_kind() {
    for row in TABLE {
        for (text, message) in row.cases() {
            let option = format_ident!("{}", row.name);
            let main = quote!(
                async fn main() {}
            );
            let found = main_tokens(quote!(#option = #text), &main).to_string();
            // Escaped like the literal in the tokens.
            let expected = message.trim_end_matches('…').replace('"', "\\\"");
            let is_rejected = found.contains("compile_error");
            assert_eq!(is_rejected, !message.is_empty(), "{text}: {found}");
            assert!(found.contains(&expected), "{text}: {found}");
        }
    }
}
