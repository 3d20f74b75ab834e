//! Each grammar accepts or rejects any text without a panic, and can write what it accepts.

use std::time::Duration;

use prefork_options::{Address, OptionValue, Row, TABLE, Workers, list, suggest};
use proptest::prelude::*;

/// Texts that are similar to valid values, so that more than the first check of a grammar is
/// tested.
fn near_texts() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        r"[0-9hms.:=,\[\] _a-z-]{0,24}",
        r"([0-9]{1,5}(h|m|s|ms)){0,5}",
        r"(([a-z_]{1,4}=)?([a-z.0-9]{0,9}|\[[0-9a-f:]{0,9}\]):[0-9]{0,6},?){0,4}",
        r"([a-z]=)?(tls://|udp6?://|tcp4://)?(unix(gram)?:|fd:|:)?[/@]?[a-z0-9:/@=]{0,9}(\?[a-z0-9=&]{0,9})?",
        r"(\[::\]:80|unix:/a|:|fd:3)\?((backlog|v6only|nodelay|mode|owner)=(true|false|[0-7]{1,4}|[a-z-]{1,3})&?){1,3}",
        r"(\[fe[89ab]0::[0-9a-f]{0,4}(%[a-z0-9.%:/@-]{0,16})?\](:[0-9]{0,6})?,?){0,3}",
    ]
}

proptest! {
    #[test]
    fn every_text_is_accepted_or_rejected_with_a_short_message(text in near_texts()) {
        for row in TABLE {
            if let Err(error) = row.check(&text) {
                let shown = error.to_string();
                prop_assert!(shown.len() < 2_000, "{shown}");
                prop_assert!(!shown.contains(char::is_control), "{shown:?}");
            }
        }
        let _ = suggest::hint(&text, TABLE.iter().map(|row| row.name));
    }

    #[test]
    fn a_parsed_value_is_written_as_a_text_with_the_same_value(text in near_texts()) {
        if let Ok(address) = text.parse::<Address>() {
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }
        if let Ok(workers) = Workers::parse(&text) {
            prop_assert_eq!(Workers::parse(&workers.display()), Ok(workers));
        }
        if let Ok(span) = Duration::parse(&text) {
            prop_assert_eq!(Duration::parse(&span.display()), Ok(span));
        }
    }

    #[test]
    fn a_list_with_default_names_is_read_again_unchanged(text in near_texts()) {
        if let Ok(addresses) = list::parse(&text) {
            let written: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            prop_assert_eq!(list::parse(&written.join(",")), Ok(addresses));
            prop_assert_eq!(Row::find("listen").map(|row| row.check(&text)), Some(Ok(())));
        }
    }
}
