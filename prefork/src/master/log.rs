//! The master's lines. None of them may stop the loop, whoever reads stderr, or does not.

use std::net::SocketAddr;

use crate::sys;

/// Where the master's lines go.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Lines that nobody took, told when somebody does.
    lost: u64,
}

impl Log {
    /// Writes one line. Control characters are escaped: a part of it may come from a child.
    pub(crate) fn line(&mut self, text: &str) {
        if self.lost > 0 {
            let notice = format!("prefork: {} lines were lost, stderr was full\n", self.lost);
            if sys::stderr::write_now(notice.as_bytes()).is_err() {
                self.lost += 1;
                return;
            }
            self.lost = 0;
        }
        if sys::stderr::write_now(&line(text)).is_err() {
            self.lost += 1;
        }
    }
}

/// Where is served, for the line that every start prints.
pub(crate) fn describe<'a>(addrs: impl Iterator<Item = (&'a str, SocketAddr)>) -> String {
    let addrs: Vec<String> = addrs.map(|(name, addr)| format!("{name}={addr}")).collect();
    match addrs.as_slice() {
        [] => "running".to_owned(),
        addrs => format!("serving on {}", addrs.join(", ")),
    }
}

fn line(text: &str) -> Vec<u8> {
    let mut line = String::with_capacity(text.len() + 16);
    line.push_str("prefork: ");
    for character in text.chars() {
        if line.len() >= sys::stderr::MAX_LINE - 16 {
            break;
        }
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line.push('\n');
    line.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line_of_bounded_length() {
        assert_eq!(line("a\nb\x1b[2J"), b"prefork: a\\nb\\u{1b}[2J\n");
        assert!(line(&"\x1b".repeat(10_000)).len() <= sys::stderr::MAX_LINE);
    }
}
