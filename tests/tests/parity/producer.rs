//! P17, P18, P20, P22, P23: the start of a child, errors, leftovers, and log lines.

use std::error::Error as StdError;
use std::process::Command;
use std::{fs, io};

use prefork::{Error, Level, Prefork};
use prefork_testkit::{Server, eventually};
use prefork_tests::proc;

use crate::support::{
    Lines, REST, cause, fail, folder, kill_child, master, record_hooks, spawned, start, stop,
};

#[test]
fn p17_a_producer_alters_program_arguments_environment_and_wrapper() {
    let (prefork, _) = master(2, REST);
    let (mut prefork, calls) = record_hooks(prefork);
    prefork = prefork.child_producer(|child| {
        let slot = child.slot().to_string();
        child
            .program("/bin/sleep")
            .args(["1000", "1"])
            .arg("1")
            .env("SLOT", slot)
            .env("GONE", "1")
            .env_remove("GONE")
            .wrapper("/usr/bin/nice", ["-n", "3"]);
    });
    let master = start(prefork);
    for (slot, pid) in spawned(&calls.wait("both children, announced", 3))
        .iter()
        .enumerate()
    {
        // `nice` executes the program.
        let line = eventually("the program behind the wrapper", || {
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
            line.starts_with("/bin/sleep").then_some(line)
        });
        assert_eq!(line, "/bin/sleep\x001000\x001\x001\0");
        assert_eq!(proc::variable(*pid, "SLOT"), Some(slot.to_string()));
        assert_eq!(proc::variable(*pid, "GONE"), None);
        // The maximum is 19 (`nice(2)`).
        assert_eq!(niceness(*pid), (niceness(own_pid()) + 3).min(19));
    }
    stop(master);
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).expect("a pid fits into i32")
}

/// The nineteenth field (`proc_pid_stat(5)`); the second one is a name in parentheses.
fn niceness(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    let (_, rest) = stat.rsplit_once(") ").expect("a name in parentheses");
    let field = rest.split(' ').nth(16).expect("more than fifty fields");
    field.parse().expect("a number")
}

#[test]
fn p17_a_producers_error_is_wrapped_and_found_again() {
    let (mut prefork, _) = master(1, REST);
    prefork = prefork.child_producer(|_| Err(io::Error::from_raw_os_error(77)));
    let error = fail(prefork);
    assert!(matches!(error, Error::Producer { slot: 0, .. }), "{error}");
    let source = StdError::source(&error).expect("the producer's error");
    let source = source.downcast_ref::<io::Error>().expect("an io::Error");
    assert_eq!(source.raw_os_error(), Some(77));
}

#[test]
fn p18_every_error_names_its_stage_and_carries_its_cause() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = holder.local_addr().expect("an address").to_string();
    let result = |change: &dyn Fn(Prefork) -> Prefork| {
        let (prefork, _) = master(1, REST);
        match change(prefork).start() {
            Ok(master) => master.wait().expect_err("the master fails"),
            Err(error) => error,
        }
    };
    let options = result(&|p| p.network("ip"));
    assert!(matches!(options, Error::Options(_)), "{options}");
    let resolve = result(&|p| p.listen("a=no-such-host.invalid:80"));
    assert!(matches!(resolve, Error::Resolve { .. }), "{resolve}");
    let listen = result(&|p| p.listen(format!("a={taken}")));
    assert!(
        matches!(listen, Error::Listen { call: "bind", .. }),
        "{listen}"
    );
    let producer = result(&|p| p.child_producer(|_| Err("no")));
    assert!(matches!(producer, Error::Producer { .. }), "{producer}");
    let program = result(&|p| {
        p.child_producer(|child| {
            child.program("/no/such/program");
        })
    });
    assert!(
        matches!(program, Error::Start { call: "execve", .. }),
        "{program}"
    );
    let hook = result(&|p| p.on_child_spawn(|_| Err("no")));
    assert!(matches!(hook, Error::Hook { .. }), "{hook}");

    for (error, stage) in [
        (
            &resolve,
            "listener 'a': cannot resolve no-such-host.invalid",
        ),
        (&listen, "listener 'a': cannot bind 127.0.0.1:"),
        (&producer, "worker 0: child_producer failed"),
        (
            &program,
            "worker 0: cannot start /no/such/program: execve failed",
        ),
        (&hook, "hook on_child_spawn failed"),
    ] {
        assert!(error.to_string().starts_with(stage), "{error}");
        assert!(cause(error).is_some(), "{error}");
    }
}

/// In a separate process, so that no other thread opens descriptors meanwhile.
#[test]
fn p20_no_descriptor_and_no_process_is_left_after_the_return() {
    let output = Server::new(env!("CARGO_BIN_EXE_parity_embedded"))
        .keep_listen()
        .run();
    assert_eq!(output.code(), Some(0), "{}", output.text());
    assert_eq!(output.log.last().map(String::as_str), Some("done"));
}

#[test]
fn p20_a_child_has_the_passed_descriptors_and_no_others() {
    // Not close-on-exec. One has the number of a listener (4), the other a higher one (9).
    let server = Server::new(env!("CARGO_BIN_EXE_parity_shell"))
        .arg("ls /proc/$$/fd; echo listed; exec sleep 1000")
        .listen("127.0.0.1:0,127.0.0.1:0")
        .env("PREFORK_WORKERS", "1")
        .wrapper(["sh", "-c", "exec 4</dev/zero 9</dev/zero \"$@\"", "sh"])
        .start();
    server.wait_for_log(|line| line == "listed");
    let is_number = |line: &String| line.parse::<u32>().is_ok();
    let numbers: Vec<String> = server.log().into_iter().filter(is_number).collect();
    // The listeners are 3 and 4, the channel is 5.
    assert_eq!(numbers, ["0", "1", "2", "3", "4", "5"]);
}

#[test]
fn p22_clean_and_failed_exits_are_logged_at_different_levels() {
    let script = "ready; [ $child = 1 ] && exit 0; [ $child = 2 ] && exit 3; exec sleep 1000";
    let (prefork, lines) = master(1, script);
    let (prefork, calls) = record_hooks(prefork);
    let master = start(prefork);
    let pids = spawned(&calls.wait("two recoveries", 6));
    kill_child(pids[2]);
    calls.wait("a third", 8);
    stop(master);
    let level = |part| {
        let lines = lines.with(part);
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines[0].level
    };
    assert_eq!(level("status 0"), Level::Warn);
    assert_eq!(level("status 3"), Level::Error);
    assert_eq!(level("SIGKILL"), Level::Error);
    assert_eq!(level("running with 1 worker"), Level::Info);
}

#[test]
fn p22_by_default_the_lines_are_written_to_stderr() {
    let folder = folder();
    let path = folder.path().join("stderr");
    let mut server = Server::new(env!("CARGO_BIN_EXE_parity_shell"))
        .env("PREFORK_WORKERS", "1")
        .env("OUT", &path)
        .wrapper(["sh", "-c", "exec \"$@\" 2>\"$OUT\"", "sh"])
        .spawn();
    server.wait_for_log(|line| line.starts_with("spawned "));
    eventually("the start line", || {
        fs::read_to_string(&path)
            .ok()
            .filter(|text| text.starts_with("prefork: listening on "))
    });
    server.wait_for_children(1);
    assert_eq!(server.stop().code(), Some(0));
    assert!(
        !server
            .final_log()
            .iter()
            .any(|line| line.starts_with("prefork: "))
    );
}

#[test]
fn p23_an_unsupported_mode_is_an_error_of_its_own_and_early() {
    let prefork = Prefork::new();
    let error = prefork
        .workers(0)
        .start()
        .expect_err("no workers to supervise");
    assert_eq!(error.exit_code(), 78);
    assert!(error.to_string().contains("single-process mode"), "{error}");

    // A missing system call.
    let output = Server::new(env!("CARGO_BIN_EXE_parity_shell"))
        .wrapper([env!("CARGO_BIN_EXE_filtered"), "pidfd_open", "ENOSYS"])
        .run();
    assert_eq!(output.code(), Some(71), "{}", output.text());
    assert_eq!(
        output.log.len(),
        1,
        "no child was started: {}",
        output.text()
    );
}

/// Compiles the error for other platforms as if this were such a platform.
#[test]
fn p23_an_unsupported_platform_is_a_clear_compile_error() {
    let source = fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../prefork/src/lib.rs"
    ))
    .expect("the crate's page");
    let (_, rest) = source
        .split_once("#[cfg(not(unix))]")
        .expect("the condition");
    let (statement, _) = rest.split_once(';').expect("one statement");
    let folder = folder();
    let file = folder.path().join("unsupported.rs");
    fs::write(&file, format!("#[cfg(unix)]{statement};\n")).expect("the folder is writable");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--crate-type", "lib", "--emit", "metadata", "--out-dir"])
        .arg(folder.path())
        .arg(&file)
        .output()
        .expect("a compiler is installed");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("error: prefork needs a Unix"), "{text}");
    assert!(text.contains("due to 1 previous error"), "{text}");
}
