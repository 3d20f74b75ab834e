//! The options as a whole.

mod verdicts;
