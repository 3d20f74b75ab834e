//! The variable that makes a process a child: `PREFORK_CHILD=<protocol>:<slot>:<child>:<fd>`.

use std::os::fd::RawFd;

use super::PROTOCOL;

/// The one marker. A value that is already there is replaced; look-alike names stay.
pub(crate) const ROLE_VARIABLE: &str = "PREFORK_CHILD";

/// Which child a process is, and where its channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marker {
    /// The place that it fills.
    pub(crate) slot: usize,
    /// A number that no other start of this master has.
    pub(crate) child: u64,
    /// The descriptor of the channel.
    pub(crate) channel: RawFd,
}

impl Marker {
    /// The variable's value.
    pub(crate) fn encode(&self) -> String {
        let Self {
            slot,
            child,
            channel,
        } = self;
        format!("{PROTOCOL}:{slot}:{child}:{channel}")
    }

    /// Reads the variable's value.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
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
                "the master speaks protocol {protocol}, this program {PROTOCOL}"
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
        let marker = Marker {
            slot: 2,
            child: 17,
            channel: 5,
        };
        assert_eq!(ROLE_VARIABLE, "PREFORK_CHILD");
        assert_eq!(marker.encode(), "1:2:17:5");
        assert_eq!(Marker::decode("1:2:17:5"), Ok(marker));
    }

    #[test]
    fn values_set_by_hand_are_refused_with_what_is_wrong() {
        for value in ["", "1", "yes", "1:2:3", "1:2:3:4:5", "1:-2:3:4", "1:2:3:x"] {
            let error = Marker::decode(value).expect_err(value);
            assert!(error.contains("not of the form"), "{error}");
        }
        let error = Marker::decode("2:0:0:3").expect_err("protocol");
        assert!(error.contains("protocol 2"), "{error}");
    }
}
