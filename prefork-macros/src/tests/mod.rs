//! Tests of the whole attribute, from tokens to tokens, without a compiler.

mod any_tokens;
mod expansion;
mod judge;
mod texts;
mod verdicts;
