//! Tests of all options together.

mod verdicts;
