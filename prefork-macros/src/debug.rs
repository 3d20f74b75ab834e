//! Prints the expansion, for a user who wants to read it.
//!
//! It knows where lines break in Rust. It does not format: that would need `rustfmt`. The text is
//! Rust, and parses to the same tokens.

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};

/// The variable that prints each expansion to stderr, unless it is empty or `0`.
const VARIABLE: &str = "PREFORK_MACRO_DEBUG";

/// Prints the expansion to the stderr of the compiler, if the variable is set.
pub(crate) fn show(expansion: &TokenStream, file: &str, line: usize) {
    let value = std::env::var_os(VARIABLE).unwrap_or_default();
    let is_wanted = !value.is_empty() && value != "0";
    if is_wanted {
        let text = render(expansion);
        // In one call: several compilers may write at the same time.
        eprint!("// `#[prefork::main]` at {file}:{line} expands to\n{text}\n");
    }
}

/// Writes tokens as Rust, with one statement per line.
pub(crate) fn render(tokens: &TokenStream) -> String {
    let mut page = Printer::default();
    page.stream(tokens.clone());
    page.text
}

#[derive(Default)]
struct Printer {
    text: String,
    indent: usize,
    /// Whether the next token continues the operator or the lifetime of the last one.
    is_joint: bool,
}

impl Printer {
    fn stream(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    self.block(&group);
                    let continues = matches!(
                        tokens.peek(),
                        Some(TokenTree::Punct(mark)) if matches!(mark.as_char(), ',' | ';' | '.' | '?')
                    );
                    if !continues && tokens.peek().is_some() {
                        self.line();
                    }
                }
                TokenTree::Group(group) => {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Parenthesis => ("(", ")"),
                        Delimiter::Bracket => ("[", "]"),
                        Delimiter::Brace | Delimiter::None => ("", ""),
                    };
                    self.token(open);
                    self.is_joint = !open.is_empty();
                    self.stream(group.stream());
                    self.is_joint = false;
                    self.text.push_str(close);
                }
                TokenTree::Punct(mark) => {
                    let is_tight = matches!(mark.as_char(), ',' | ';');
                    if is_tight {
                        self.is_joint = true;
                    }
                    self.token(&mark.as_char().to_string());
                    self.is_joint = mark.spacing() == Spacing::Joint;
                    if mark.as_char() == ';' && tokens.peek().is_some() {
                        self.line();
                    }
                }
                other => self.token(&other.to_string()),
            }
        }
    }

    fn block(&mut self, group: &Group) {
        self.token("{");
        if !group.stream().is_empty() {
            self.indent += 1;
            self.line();
            self.stream(group.stream());
            self.indent -= 1;
            self.line();
        }
        self.text.push('}');
        self.is_joint = false;
    }

    fn token(&mut self, token: &str) {
        let is_at_start = self.text.is_empty() || self.text.ends_with([' ', '\n']);
        if !is_at_start && !self.is_joint {
            self.text.push(' ');
        }
        self.text.push_str(token);
        self.is_joint = false;
    }

    fn line(&mut self) {
        self.text.push('\n');
        self.text.push_str(&"    ".repeat(self.indent));
        self.is_joint = false;
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    #[test]
    fn each_statement_has_its_own_line() {
        let tokens = quote! {
            fn main() -> ExitCode { use a::b; fn inner<'a>(x: &'a str) {} run(|p| { p.workers(4); }, [], inner) }
        };

        let expected = "\
fn main () -> ExitCode {
    use a :: b;
    fn inner < 'a > (x : & 'a str) {}
    run (| p | {
        p . workers (4);
    }, [], inner)
}";
        assert_eq!(render(&tokens), expected);
    }

    #[test]
    fn the_text_parses_to_the_same_tokens() {
        let tokens = quote! {
            #[doc = "a\nb"] x <<= 1 ..= 2 && !y - -z; 'a: loop { break 'a; } r#fn!{} "s" 'c' b'c' => ->
        };

        let read: TokenStream = render(&tokens).parse().expect("Rust");
        assert_eq!(read.to_string(), tokens.to_string());
    }
}
