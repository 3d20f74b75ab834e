//! The startup line of the master, which contains the addresses of a server.

use std::net::SocketAddr;

/// The content of the startup line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StartupLine {
    /// Name and address of each listener.
    pub(crate) addrs: Vec<(String, SocketAddr)>,
    /// The id of the process that wrote the line, in its own PID namespace.
    pub(crate) pid: i32,
}

impl StartupLine {
    /// Reads a startup line. `None`: the line is another one.
    ///
    /// Example: `prefork: listening on http=127.0.0.1:80 with 2 workers (master pid 4711)`. Servers
    /// without a listener or without a master write other forms.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let text = line.strip_prefix("prefork: ")?;
        let (text, pid) = text.strip_suffix(')')?.rsplit_once("pid ")?;
        let (state, _) = text
            .split_once(" with ")
            .or_else(|| text.split_once(" in a single process"))?;
        let addrs = match state.strip_prefix("listening on ") {
            Some(addrs) => addrs.split(", ").map(read_addr).collect::<Option<_>>()?,
            None if state == "running" => Vec::new(),
            None => return None,
        };
        let pid = pid.parse().ok()?;
        Some(Self { addrs, pid })
    }
}

fn read_addr(text: &str) -> Option<(String, SocketAddr)> {
    let (name, addr) = text.split_once('=')?;
    let addr = addr.strip_prefix("tls://").unwrap_or(addr);
    Some((name.to_owned(), addr.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_are_read() {
        let addr = |name: &str, addr: &str| (name.to_owned(), addr.parse().expect(addr));
        let cases = [
            (
                "prefork: listening on a=127.0.0.1:80, b=tls://[::1]:81 with 2 workers (master pid 7)",
                vec![addr("a", "127.0.0.1:80"), addr("b", "[::1]:81")],
            ),
            ("prefork: running with 1 worker (master pid 7)", vec![]),
            (
                "prefork: listening on a=127.0.0.1:80 in a single process (pid 7)",
                vec![addr("a", "127.0.0.1:80")],
            ),
            ("prefork: running in a single process (pid 7)", vec![]),
        ];
        for (line, addrs) in cases {
            assert_eq!(
                StartupLine::read(line),
                Some(StartupLine { addrs, pid: 7 }),
                "{line}"
            );
        }
    }

    #[test]
    fn other_lines_are_not_read() {
        for line in [
            "",
            "listening on a=127.0.0.1:80 with 2 workers (master pid 7)",
            "prefork: worker 0 (pid 7) was killed by SIGKILL after 3ms",
            "prefork: SIGTERM from pid 7: stopping 2 workers within 5s",
            "prefork: listener 'a': cannot bind 127.0.0.1:80: in use (pid 7)",
        ] {
            assert_eq!(StartupLine::read(line), None, "{line}");
        }
    }
}
