//! An option that cannot be used, alone and among others.

use std::fmt;

/// One option that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadOption {
    pub(crate) place: String,
    pub(crate) reason: String,
}

impl fmt::Display for BadOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

/// Several are numbered: they stay one line, and a reason may hold any mark that could part them.
pub(super) struct Lines<'a>(pub(super) &'a [BadOption]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [option] = self.0 {
            return write!(f, "{option}");
        }
        write!(f, "{} options cannot be used:", self.0.len())?;
        for (index, option) in self.0.iter().enumerate() {
            write!(f, " ({}) {option}", index + 1)?;
        }
        Ok(())
    }
}
