//! A terminal that is not read does not block the master. The master counts the lines that it could
//! not write.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::pty::openpty;
use nix::unistd::ttyname;
use prefork_testkit::{ChildInfo, RunningServer, Server, eventually};
use prefork_tests::client::{get, slot_and_pid};
use prefork_tests::proc;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");

/// How many workers are killed. The terminal has space for the lines about 140 of them.
const KILLS: usize = 170;

/// A terminal that the test does not read yet.
struct Terminal {
    reader: File,
    /// The bytes after the last complete line.
    incomplete: Vec<u8>,
    /// Keeps the terminal open until the server has opened it.
    _writer: OwnedFd,
    path: PathBuf,
}

impl Terminal {
    fn new() -> Self {
        let pty = openpty(None, None).expect("a terminal");
        let path = ttyname(&pty.slave).expect("a terminal");
        fcntl(&pty.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("an open file");
        Self {
            reader: File::from(pty.master),
            incomplete: Vec::new(),
            _writer: pty.slave,
            path,
        }
    }

    /// Writes until the buffer of the terminal is full.
    fn fill(&self) {
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(libc::O_NONBLOCK);
        let mut writer = options.open(&self.path).expect("the terminal exists");
        while writer.write(b"x\n").is_ok() {}
        while writer.write(b"x").is_ok() {}
    }

    /// Reads until `fits` accepts a line, and returns all lines that were read.
    fn read_until(&mut self, fits: impl Fn(&str) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        let mut buffer = [0; 4096];
        eventually("a line on the terminal", || {
            // If there is nothing to read yet, `read` returns an error.
            let count = self.reader.read(&mut buffer).unwrap_or(0);
            self.incomplete.extend_from_slice(&buffer[..count]);
            let end = self.incomplete.iter().rposition(|byte| *byte == b'\n')?;
            let whole: Vec<u8> = self.incomplete.drain(..=end).collect();
            let whole = String::from_utf8_lossy(&whole).replace('\r', "");
            lines.extend(whole.lines().map(str::to_owned));
            lines.iter().any(|line| fits(line)).then(|| lines.clone())
        })
    }
}

/// Starts a server through a shell command that opens the terminal as stderr.
fn start(terminal: &Terminal, shell: &str) -> RunningServer {
    let redirected = format!("{shell} 2>{}", terminal.path.display());
    Server::new(HELLO)
        .env("PREFORK_WORKERS", "1")
        .env("PREFORK_RECOVER_THRESHOLD", "100000")
        .wrapper(["sh", "-c", &redirected])
        .spawn()
}

/// Checks that this worker answers, in slot 0.
///
/// The address comes from its environment, because the test does not read the master's lines.
fn is_served_by(child: ChildInfo) {
    let addrs = proc::variable(child.pid, "PREFORK_ADDRS").expect("a worker has one");
    let (_, addr) = addrs.split_once('=').expect("name and address");
    let body = get(addr.parse().expect("an address"), "/").expect("an answer");
    assert_eq!(slot_and_pid(&body), Some((0, child.pid)));
}

/// Kills the worker `kills` times. Each time the master starts another one, which answers: then it is
/// ready.
fn recovers(server: &RunningServer, kills: usize) {
    let mut child = server.wait_for_children(1)[0];
    is_served_by(child);
    for _ in 0..kills {
        let killed = server.kill_child(0);
        child = server.wait_for_replacement(killed);
        is_served_by(child);
    }
}

fn assert_dropped_lines_are_counted(terminal: &mut Terminal, server: &RunningServer) {
    // From here on the test reads the terminal. The master writes the number of lost lines before
    // its next line.
    let before = terminal.read_until(|line| line.contains("started, replacing pid "));
    let killed = server.kill_child(0);
    server.wait_for_replacement(killed);
    let end = format!("started, replacing pid {}", killed.pid);
    let after = terminal.read_until(|line| line.ends_with(&end));
    // A line that this worker is ready may follow.
    let end = after
        .iter()
        .rposition(|line| line.ends_with(&end))
        .unwrap_or(0);
    let lines: Vec<_> = before
        .into_iter()
        .chain(after.into_iter().take(end + 1))
        .collect();
    let is_whole = |line: &String| line.matches("prefork: ").count() == 1;
    assert!(lines.iter().all(is_whole), "{lines:#?}");
    let lost = |line: &String| -> Option<usize> {
        let count = line.strip_suffix(" log lines dropped: stderr was blocked")?;
        count.strip_prefix("prefork: ")?.parse().ok()
    };
    let losses: Vec<usize> = lines.iter().filter_map(lost).collect();
    // The first two lines of the master, and two for each worker that was killed. A third one follows
    // if a recovery takes long.
    let least = 2 + 2 * (KILLS + 1);
    let written = lines.len() - losses.len();
    assert!(losses.len() == 1, "{lines:#?}");
    let all = written + losses[0];
    assert!((least..least + KILLS).contains(&all), "{all}: {lines:#?}");
}

#[test]
fn a_master_whose_terminal_is_not_read_recovers_counts_lost_lines_and_stops() {
    let mut terminal = Terminal::new();
    let mut server = start(&terminal, "exec \"$0\" \"$@\"");
    recovers(&server, KILLS);
    assert_dropped_lines_are_counted(&mut terminal, &server);
    assert_eq!(server.stop().code(), Some(0));
    assert_eq!(server.processes(), []);
}

#[test]
fn a_terminal_that_is_full_from_the_beginning_does_not_block_the_master() {
    let terminal = Terminal::new();
    terminal.fill();
    let mut server = start(&terminal, "exec \"$0\" \"$@\"");
    recovers(&server, 3);
    assert_eq!(server.stop().code(), Some(0));
    assert_eq!(server.processes(), []);
}

#[test]
fn a_terminal_that_cannot_be_opened_again_does_not_block_the_master_either() {
    // The terminal belongs to root, and the server runs as another user.
    let command = "exec setpriv --reuid 65534 --clear-groups --inh-caps=-all \"$0\" \"$@\"";
    let mut terminal = Terminal::new();
    if !can_run_as_another_user() {
        println!("skipped: needs root, setpriv(1) and a program that another user can execute");
        return;
    }
    let mut server = start(&terminal, command);
    terminal.read_until(|line| line.contains("listening on"));
    terminal.fill();
    recovers(&server, 3);
    assert_eq!(server.stop().code(), Some(0));
    eventually("the end of all processes", || {
        server.processes().is_empty().then_some(())
    });
}

fn can_run_as_another_user() -> bool {
    let mut attempt = std::process::Command::new("setpriv");
    attempt.args(["--reuid", "65534", "--clear-groups", "test", "-x", HELLO]);
    attempt.status().is_ok_and(|status| status.success())
}
