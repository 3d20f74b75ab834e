//! A server that is started through the loader starts its workers without it, or logs the reason.

use std::path::Path;
use std::process::Command;

use prefork_testkit::{Output, Server};
use prefork_tests::client::get;
use prefork_tests::proc;

const BUILDER: &str = env!("CARGO_BIN_EXE_builder");
const HELLO: &str = env!("CARGO_BIN_EXE_hello");
const PLAIN: &str = env!("CARGO_BIN_EXE_plain");

/// The loader that Rust programs for glibc name, as those of these tests do.
fn loader() -> Option<&'static str> {
    let known = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
    let found = known.into_iter().find(|path| Path::new(path).exists());
    if found.is_none() {
        println!("skipped: needs the loader of glibc");
    }
    found
}

/// Copies a file in another process.
///
/// If this process opened the copy for writing, a program that another test starts at the same time
/// would inherit the descriptor. Until that program ends, the copy could not be executed.
fn copy_file(from: &str, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status();
    assert!(copied.is_ok_and(|status| status.success()), "{from}");
}

fn assert_refused(output: &Output, named: &[&str]) {
    assert_eq!(output.code(), Some(71), "{:?}", output.log);
    let [line] = output.log.as_slice() else {
        panic!("not one line: {:?}", output.log);
    };
    let expected = "prefork: the master cannot start its own program as a worker: ";
    assert!(line.starts_with(expected), "{line}");
    for name in named {
        assert!(line.contains(name), "no '{name}' in: {line}");
    }
}

#[test]
fn workers_are_the_program_and_recover() {
    let Some(loader) = loader() else { return };
    let mut server = Server::new(HELLO)
        .arg("argument")
        .env("PREFORK_WORKERS", "2")
        .wrapper([loader])
        .start();
    get(server.addr(), "/").expect("an answer");
    let children = server.wait_for_children(2);
    for child in &children {
        let executed = std::fs::read_link(format!("/proc/{}/exe", child.pid)).expect("running");
        assert_eq!(executed, Path::new(HELLO));
        let line =
            std::fs::read_to_string(format!("/proc/{}/cmdline", child.pid)).expect("running");
        assert_eq!(line, format!("{HELLO}\0argument\0"));
        assert_eq!(
            proc::name(child.pid),
            Some(format!("hello worker {}", child.slot))
        );
    }
    let killed = server.kill_child(0);
    server.wait_for_replacement(killed);
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn options_and_copies_of_the_loader_are_refused_before_the_first_worker() {
    let Some(loader) = loader() else { return };
    let executed = std::fs::canonicalize(loader).expect("the loader exists");
    let executed = executed.display().to_string();
    let output = Server::new(PLAIN)
        .wrapper([loader, "--library-path", "/usr/lib"])
        .run();
    assert_refused(
        &output,
        &[&executed, "options (--library-path /usr/lib)", "patchelf"],
    );

    // A copy of the loader, as in a bundle that has its own.
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("ld.so");
    copy_file(loader, &copy);
    let copy = copy.display().to_string();
    let output = Server::new(PLAIN).wrapper([copy.clone()]).run();
    assert_refused(&output, &[&copy, "names another loader", loader]);

    let program = folder.path().join("plain");
    copy_file(PLAIN, &program);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&program, mode).expect("the test owns it");
    let output = Server::new(&program).wrapper([loader]).run();
    assert_refused(&output, &[&executed, "is not executable"]);
}

#[test]
fn a_single_process_and_foreign_programs_do_not_need_the_own_executable() {
    let Some(loader) = loader() else { return };
    let options = [loader, "--library-path", "/usr/lib"];
    let mut single = Server::new(HELLO)
        .env("PREFORK_WORKERS", "0")
        .wrapper(options)
        .start();
    get(single.addr(), "/").expect("an answer");
    assert_eq!(single.stop().code(), Some(0));

    let mut foreign = Server::new(BUILDER)
        .arg("listen=127.0.0.1:0")
        .arg("program=/bin/sleep")
        .wrapper(options)
        .start();
    foreign.wait_for_children(1);
    assert_eq!(foreign.stop().code(), Some(0));

    // A producer that starts no other program.
    let output = Server::new(BUILDER)
        .arg("listen=127.0.0.1:0")
        .arg("child_env=A=B")
        .wrapper(options)
        .run();
    assert_eq!(output.code(), Some(72), "{:?}", output.log);
    assert!(
        output.text().contains("through the loader"),
        "{}",
        output.text()
    );
}
