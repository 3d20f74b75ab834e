//! The operator's layer: `PREFORK_<OPTION>` overrides what the program says.

use std::ffi::OsString;

use prefork_options::{TABLE, quote};

use super::Options;

impl Options {
    /// Reads the variable of every option; `lookup` is the process's environment, or a test's.
    pub(crate) fn read_environment(&mut self, lookup: impl Fn(&str) -> Option<OsString>) {
        for row in TABLE {
            let Some(variable) = row.env else {
                continue;
            };
            let Some(value) = lookup(variable) else {
                continue;
            };
            if let Some(text) = value.to_str() {
                self.set_text(row.name, variable, text);
            } else {
                let shown = quote(&value.to_string_lossy());
                self.mistake(variable, &format!("{shown} is not UTF-8"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use prefork_options::Workers;

    use super::*;
    use crate::error::Error;

    #[test]
    fn the_environment_overrides_what_was_said() {
        let mut options = Options {
            workers: Some(Workers::Count(2)),
            recover_threshold: Some(3),
            ..Options::default()
        };
        options.read_environment(|name| (name == "PREFORK_WORKERS").then(|| "4".into()));
        assert_eq!(options.workers, Some(Workers::Count(4)));
        assert_eq!(options.recover_threshold, Some(3));
    }

    #[test]
    fn every_bad_variable_is_told_at_once_by_its_name() {
        let mut options = Options::default();
        options.read_environment(|name| match name {
            "PREFORK_WORKERS" => Some("-1".into()),
            "PREFORK_LISTEN" => Some("nowhere".into()),
            "PREFORK_SHUTDOWN_GRACE_PERIOD" => Some("5".into()),
            "PREFORK_RECOVER_THRESHOLD" => Some(OsString::from_vec(vec![0xff])),
            _ => None,
        });
        let Err(Error::Options(bad)) = options.without_mistakes() else {
            panic!("four mistakes");
        };
        let places: Vec<&str> = bad.iter().map(|option| option.place.as_str()).collect();
        let expected = [
            "PREFORK_LISTEN",
            "PREFORK_WORKERS",
            "PREFORK_RECOVER_THRESHOLD",
            "PREFORK_SHUTDOWN_GRACE_PERIOD",
        ];
        assert_eq!(places, expected);
    }
}
