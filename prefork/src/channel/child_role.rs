//! The variable that makes a process a worker: `PREFORK_CHILD=<protocol>:<slot>:<child>:<fd>`.

use std::os::fd::RawFd;

use super::PROTOCOL;

/// The name of the variable. A value that is already set is replaced; similar names stay.
pub(crate) const ROLE_VARIABLE: &str = "PREFORK_CHILD";

/// The child id and slot of a process, and the descriptor of its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChildRole {
    /// The slot that it fills.
    pub(crate) slot: usize,
    /// The child id. It is unique among the starts of one master.
    pub(crate) child: u64,
    /// The descriptor of the channel.
    pub(crate) channel: RawFd,
}

impl ChildRole {
    /// Encodes the value of the variable.
    pub(crate) fn encode(&self) -> String {
        let Self {
            slot,
            child,
            channel,
        } = self;
        format!("{PROTOCOL}:{slot}:{child}:{channel}")
    }

    /// Decodes the value of the variable.
    ///
    /// # Errors
    /// The reason why the value is invalid.
    pub(crate) fn decode(value: &str) -> Result<Self, String> {
        let malformed = || {
            format!(
                "'{}' is not of the form '<protocol>:<slot>:<child>:<fd>'",
                value.escape_debug()
            )
        };
        let fields: Vec<&str> = value.split(':').collect();
        let &[protocol, slot, child, channel] = fields.as_slice() else {
            return Err(malformed());
        };
        let protocol: u32 = protocol.parse().map_err(|_| malformed())?;
        if protocol != PROTOCOL {
            return Err(format!(
                "the master uses protocol {protocol}, this program uses protocol {PROTOCOL}"
            ));
        }
        Ok(Self {
            slot: slot.parse().map_err(|_| malformed())?,
            child: child.parse().map_err(|_| malformed())?,
            channel: channel.parse().map_err(|_| malformed())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_protocol_1_is_pinned() {
        let role = ChildRole {
            slot: 2,
            child: 17,
            channel: 5,
        };
        assert_eq!(ROLE_VARIABLE, "PREFORK_CHILD");
        assert_eq!(role.encode(), "1:2:17:5");
        assert_eq!(ChildRole::decode("1:2:17:5"), Ok(role));
    }

    #[test]
    fn invalid_values_are_rejected_with_the_reason() {
        for value in ["", "1", "yes", "1:2:3", "1:2:3:4:5", "1:-2:3:4", "1:2:3:x"] {
            let error = ChildRole::decode(value).expect_err(value);
            assert!(error.contains("not of the form"), "{error}");
        }
        let error = ChildRole::decode("2:0:0:3").expect_err("protocol");
        assert!(error.contains("protocol 2"), "{error}");
    }
}
