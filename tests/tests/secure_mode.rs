//! If a program runs with more rights than the user who starts it, it ignores the environment of
//! that user.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use prefork_testkit::Server;
use prefork_tests::client::get;

const FORGED_ROLE: &str = env!("CARGO_BIN_EXE_forged_role");
const TWO_LISTENERS: &str = env!("CARGO_BIN_EXE_two_listeners");

/// A wrapper that runs a program as a user without other processes.
fn as_user() -> [String; 6] {
    let user = (2_000_000 + std::process::id()).to_string();
    [
        "setpriv".to_owned(),
        "--reuid".to_owned(),
        user.clone(),
        "--regid".to_owned(),
        user,
        "--clear-groups".to_owned(),
    ]
}

/// Copies a file in another process.
///
/// If this process opened the copy for writing, processes that other tests start at the same time
/// would inherit the descriptor. The copy could not be executed until they exit.
fn copy(from: &str, to: &Path) -> Option<()> {
    let copied = Command::new("cp").arg(from).arg(to).status();
    copied.is_ok_and(|status| status.success()).then_some(())
}

/// A copy of the program with this mode, owned by root; `None` if set-id has no effect here.
fn set_id(folder: &Path, mode: u32) -> Option<PathBuf> {
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder, open).ok()?;
    let id = folder.join("id");
    copy("/usr/bin/id", &id)?;
    fs::set_permissions(&id, fs::Permissions::from_mode(mode)).ok()?;
    let option = if mode & 0o4000 != 0 { "-u" } else { "-g" };
    let user = as_user();
    let attempt = Command::new(&user[0])
        .args(&user[1..])
        .arg(&id)
        .arg(option)
        .stderr(Stdio::null())
        .output();
    let shown = attempt.ok()?.stdout;
    if shown != b"0\n" {
        return None;
    }
    let program = folder.join("two_listeners");
    copy(TWO_LISTENERS, &program)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(mode)).ok()?;
    Some(program)
}

#[test]
fn a_set_id_program_ignores_the_environment_with_one_line() {
    for mode in [0o4755, 0o2755] {
        let folder = tempfile::tempdir().expect("a folder");
        let Some(program) = set_id(folder.path(), mode) else {
            println!("skipped: needs root, setpriv(1) and a file system without nosuid");
            return;
        };
        let mut server = Server::new(&program)
            .listen("127.0.0.2:0")
            .env("PREFORK_WORKERS", "0")
            .env("PREFORK_EXPLAIN", "1")
            .wrapper(as_user())
            .spawn();
        // The program does not report its readiness either: only its log has the address.
        let line = server.wait_for_log(|line| line.contains("listening on http="));
        let addr = line.split(['=', ',']).nth(1).expect("an address");
        let addr: SocketAddr = addr.parse().expect("an address");
        assert_eq!(addr.ip().to_string(), "127.0.0.1", "set by the program");
        // The workers run with the same rights and accept their role from the master.
        get(addr, "/").expect("an answer");
        server.wait_for_children(2);
        let log = server.log();
        let ignored: Vec<_> = log
            .iter()
            .filter(|line| line.contains("ignoring"))
            .collect();
        let [line] = ignored.as_slice() else {
            panic!("not one line: {log:?}");
        };
        let expected = "prefork: ignoring PREFORK_LISTEN, PREFORK_WORKERS, PREFORK_EXPLAIN: ";
        assert!(line.starts_with(expected), "{line}");
        assert_eq!(server.stop().code(), Some(0));
    }
}

#[test]
fn a_set_id_program_takes_no_role_from_a_user() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(program) = set_id(folder.path(), 0o4755) else {
        println!("skipped: needs root, setpriv(1) and a file system without nosuid");
        return;
    };
    let forged = as_user().into_iter().chain([FORGED_ROLE.to_owned()]);
    let output = Server::new(&program).wrapper(forged).run();
    assert_eq!(output.code(), Some(76), "{:?}", output.log);
    let text = output.text();
    assert!(
        text.contains("the channel (fd 3) is not from a trusted master"),
        "{text}"
    );
}
