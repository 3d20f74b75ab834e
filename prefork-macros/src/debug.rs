//! The expansion, for a person who wants to see it.
//!
//! It knows where lines break in Rust; it does not format, since that is `rustfmt`'s work and a dependency. The text is
//! Rust: the same tokens come out when it is read again.

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};

/// Set to anything but nothing or `0`, it makes each attribute write its expansion to stderr.
const VARIABLE: &str = "PREFORK_MACRO_DEBUG";

/// Writes the expansion where the user looks at the compiler's words, if they asked for it.
pub(crate) fn show(expansion: &TokenStream, file: &str, line: usize) {
    let value = std::env::var_os(VARIABLE).unwrap_or_default();
    let is_wanted = !value.is_empty() && value != "0";
    if is_wanted {
        let text = render(expansion);
        // In one piece: several compilers may write at the same time.
        eprint!("// `#[prefork::main]` at {file}:{line} expands to\n{text}\n");
    }
}

/// Writes tokens as Rust, a line for each statement.
pub(crate) fn render(tokens: &TokenStream) -> String {
    let mut page = Page::default();
    page.stream(tokens.clone());
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
    indent: usize,
    /// Whether the last token was a half of an operator or of a lifetime, which the next one completes.
    is_joint: bool,
}

impl Page {
    fn stream(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    self.block(&group);
                    let goes_on = matches!(
                        tokens.peek(),
                        Some(TokenTree::Punct(mark)) if matches!(mark.as_char(), ',' | ';' | '.' | '?')
                    );
                    if !goes_on && tokens.peek().is_some() {
                        self.line();
                    }
                }
                TokenTree::Group(group) => {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Parenthesis => ("(", ")"),
                        Delimiter::Bracket => ("[", "]"),
                        Delimiter::Brace | Delimiter::None => ("", ""),
                    };
                    self.word(open);
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
                    self.word(&mark.as_char().to_string());
                    self.is_joint = mark.spacing() == Spacing::Joint;
                    if mark.as_char() == ';' && tokens.peek().is_some() {
                        self.line();
                    }
                }
                other => self.word(&other.to_string()),
            }
        }
    }

    fn block(&mut self, group: &Group) {
        self.word("{");
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

    fn word(&mut self, word: &str) {
        let is_at_start = self.text.is_empty() || self.text.ends_with([' ', '\n']);
        if !is_at_start && !self.is_joint {
            self.text.push(' ');
        }
        self.text.push_str(word);
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
    fn statements_and_blocks_have_lines_of_their_own() {
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
    fn the_same_tokens_come_out_when_it_is_read_again() {
        let tokens = quote! {
            #[doc = "a\nb"] x <<= 1 ..= 2 && !y - -z; 'a: loop { break 'a; } r#fn!{} "s" 'c' b'c' => ->
        };

        let read: TokenStream = render(&tokens).parse().expect("it is Rust");
        assert_eq!(read.to_string(), tokens.to_string());
    }
}
