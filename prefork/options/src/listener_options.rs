//! The options of one listener: what follows `?` in its address, as in `:80?backlog=64&nodelay=true`.
//!
//! It knows their names, their values and which listeners have them. It does not know whether an
//! owner or a group exists.

use std::fmt;

use crate::OptionValue;
use crate::error::quote;
use crate::suggest::nearest;

/// The options of one listener. An option that is not set has the value for all listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ListenerOptions {
    /// The length of the accept queue, in connections (listen(2)).
    pub backlog: Option<u32>,
    /// Whether an IPv6 socket rejects IPv4 (`IPV6_V6ONLY`, ipv6(7)).
    pub v6only: Option<bool>,
    /// Whether small writes are sent at once (`TCP_NODELAY`, tcp(7)).
    pub nodelay: Option<bool>,
    /// The permissions of the file of a unix socket.
    pub mode: Option<u32>,
    /// The owner of the file of a unix socket: a name or a number.
    pub owner: Option<String>,
    /// The group of the file of a unix socket: a name or a number.
    pub group: Option<String>,
}

/// The largest `mode`: the permission bits, without set-user-ID, set-group-ID and sticky.
const MAX_MODE: u32 = 0o777;

/// The longest name of a user or a group (useradd(8)).
const MAX_ACCOUNT: usize = 32;

const NAMES: [&str; 6] = ["backlog", "v6only", "nodelay", "mode", "owner", "group"];

impl ListenerOptions {
    /// Reads the text after `?`.
    ///
    /// The error is a reason that follows the whole address in a message.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for option in text.split('&') {
            let (name, value) = option.split_once('=').ok_or_else(|| no_value(option))?;
            let is_new = match name {
                "backlog" => options.backlog.replace(backlog(value)?).is_none(),
                "v6only" => options.v6only.replace(flag(name, value)?).is_none(),
                "nodelay" => options.nodelay.replace(flag(name, value)?).is_none(),
                "mode" => options.mode.replace(mode(value)?).is_none(),
                "owner" => options.owner.replace(account(name, value)?).is_none(),
                "group" => options.group.replace(account(name, value)?).is_none(),
                _ => return Err(unknown(name)),
            };
            if !is_new {
                return Err(format!("has the option '{name}' twice"));
            }
        }
        Ok(options)
    }

    /// Whether no option is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the first option that is set and that only the file of a unix socket has.
    pub(crate) fn of_a_file(&self) -> Option<&'static str> {
        let is_set = [
            ("mode", self.mode.is_some()),
            ("owner", self.owner.is_some()),
            ("group", self.group.is_some()),
        ];
        is_set
            .iter()
            .find(|(_, is_set)| *is_set)
            .map(|(name, _)| *name)
    }
}

fn no_value(option: &str) -> String {
    if NAMES.contains(&option) {
        return format!("has the option '{option}' without a value, expected '{option}=…'");
    }
    format!(
        "has {} after '?', expected an option such as 'backlog=1024'",
        quote(option)
    )
}

fn unknown(name: &str) -> String {
    let what = quote(name);
    match nearest(name, NAMES) {
        Some(near) => format!("has the unknown option {what}, did you mean '{near}'?"),
        None => format!(
            "has the unknown option {what}, expected one of '{}'",
            NAMES.join("', '")
        ),
    }
}

fn backlog(value: &str) -> Result<u32, String> {
    u32::parse(value).map_err(|_| {
        let value = quote(value);
        format!("has the backlog {value}, expected {}", u32::EXPECTED)
    })
}

fn flag(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!(
            "has {name}={}, expected 'true' or 'false'",
            quote(value)
        )),
    }
}

fn mode(value: &str) -> Result<u32, String> {
    let is_octal = (3..=4).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
    let mode = u32::from_str_radix(value, 8).ok();
    mode.filter(|mode| is_octal && *mode <= MAX_MODE)
        .ok_or_else(|| {
            let value = quote(value);
            format!("has the mode {value}, expected octal permissions such as '0660'")
        })
}

fn account(name: &str, value: &str) -> Result<String, String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_valid = (1..=MAX_ACCOUNT).contains(&value.len()) && value.bytes().all(is_allowed);
    if !is_valid || value.starts_with('-') {
        let (kind, value) = (if name == "owner" { "user" } else { "group" }, quote(value));
        return Err(format!(
            "has the {name} {value}, expected the name or the number of a {kind}"
        ));
    }
    Ok(value.to_owned())
}

impl fmt::Display for ListenerOptions {
    /// Writes `?` and the options that are set, or nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = [
            self.backlog.map(|number| format!("backlog={number}")),
            self.v6only.map(|flag| format!("v6only={flag}")),
            self.nodelay.map(|flag| format!("nodelay={flag}")),
            self.mode.map(|mode| format!("mode={mode:04o}")),
            self.owner.as_ref().map(|name| format!("owner={name}")),
            self.group.as_ref().map(|name| format!("group={name}")),
        ];
        for (option, separator) in set.into_iter().flatten().zip("?&&&&&".chars()) {
            write!(f, "{separator}{option}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_written_as_they_were_read() {
        for text in [
            "backlog=1",
            "backlog=65535&v6only=true&nodelay=false",
            "mode=0660&owner=www-data&group=0",
        ] {
            let options = ListenerOptions::parse(text).expect(text);
            assert_eq!(options.to_string(), format!("?{text}"));
        }
        assert_eq!(ListenerOptions::default().to_string(), "");
        let options = ListenerOptions::parse("mode=666").expect("without a leading zero");
        assert_eq!(options.mode, Some(0o666));
    }

    #[test]
    fn each_mistake_has_its_own_message() {
        for (text, reason) in [
            (
                "",
                "has '' after '?', expected an option such as 'backlog=1024'",
            ),
            (
                "a",
                "has 'a' after '?', expected an option such as 'backlog=1024'",
            ),
            (
                "mode",
                "has the option 'mode' without a value, expected 'mode=…'",
            ),
            ("mode=0660&mode=0660", "has the option 'mode' twice"),
            (
                "back_log=5",
                "has the unknown option 'back_log', did you mean 'backlog'?",
            ),
            (
                "ipv6only=true",
                "has the unknown option 'ipv6only', did you mean 'v6only'?",
            ),
            (
                "color=red",
                "has the unknown option 'color', expected one of 'backlog', 'v6only', 'nodelay', \
                 'mode', 'owner', 'group'",
            ),
            (
                "backlog=-1",
                "has the backlog '-1', expected a number from 0 to 1000000",
            ),
            (
                "backlog=1000001",
                "has the backlog '1000001', expected a number from 0 to 1000000",
            ),
            (
                "nodelay=yes",
                "has nodelay='yes', expected 'true' or 'false'",
            ),
            (
                "mode=888",
                "has the mode '888', expected octal permissions such as '0660'",
            ),
            (
                "mode=4755",
                "has the mode '4755', expected octal permissions such as '0660'",
            ),
            (
                "mode=7",
                "has the mode '7', expected octal permissions such as '0660'",
            ),
            (
                "mode=+66",
                "has the mode '+66', expected octal permissions such as '0660'",
            ),
            (
                "owner=",
                "has the owner '', expected the name or the number of a user",
            ),
            (
                "group=a:b",
                "has the group 'a:b', expected the name or the number of a group",
            ),
        ] {
            assert_eq!(
                ListenerOptions::parse(text),
                Err(reason.to_owned()),
                "{text}"
            );
        }
    }
}
