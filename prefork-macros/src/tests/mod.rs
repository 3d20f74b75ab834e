//! The attribute as a whole, on tokens that no compiler has seen.

mod any_tokens;
mod expansion;
mod judge;
mod texts;
mod verdicts;
