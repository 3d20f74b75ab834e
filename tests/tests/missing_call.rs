//! If the kernel or a filter rejects a system call that a master needs, the start fails with one
//! error that names the call.

use prefork_testkit::Server;
use prefork_tests::client::get;

const FILTERED: &str = env!("CARGO_BIN_EXE_filtered");
const HELLO: &str = env!("CARGO_BIN_EXE_hello");

fn under(call: &str, errno: &str) -> Server {
    Server::new(HELLO)
        .env("PREFORK_WORKERS", "2")
        .wrapper([FILTERED, call, errno])
}

#[test]
fn a_missing_call_is_named_before_any_child_starts() {
    for call in [
        "pidfd_open",
        "pidfd_send_signal",
        "waitid",
        "close_range",
        "execveat",
    ] {
        for errno in ["ENOSYS", "EPERM"] {
            let output = under(call, errno).run();
            assert_eq!(output.code(), Some(71), "{call} {errno}: {:?}", output.log);
            let [line] = output.log.as_slice() else {
                panic!("{call} {errno}: not one line: {:?}", output.log);
            };
            let expected = format!("prefork: the system call {call} is not available: ");
            assert!(line.starts_with(&expected), "{line}");
        }
    }
}

#[test]
fn a_master_that_cannot_start_its_first_child_ends_with_the_reason() {
    for errno in ["ENOSYS", "EPERM", "EAGAIN"] {
        let output = under("clone", errno).run();
        assert_eq!(output.code(), Some(72), "{errno}: {:?}", output.log);
        let [line] = output.log.as_slice() else {
            panic!("{errno}: not one line: {:?}", output.log);
        };
        let expected = format!("prefork: worker 0: cannot start {HELLO}: clone failed: ");
        assert!(line.starts_with(&expected), "{errno}: {line}");
    }
}

/// A filter can reject the call that unblocks signals after a clone. If the master continued, it
/// would not receive SIGTERM.
#[test]
fn a_master_that_cannot_set_its_signal_mask_ends_with_the_reason() {
    for errno in ["EPERM", "EAGAIN"] {
        let output = under("rt_sigprocmask", errno).run();
        assert_eq!(output.code(), Some(71), "{errno}: {:?}", output.log);
        let [line] = output.log.as_slice() else {
            panic!("{errno}: not one line: {:?}", output.log);
        };
        // The master tries the call before it starts the first worker.
        let expected = "prefork: the system call rt_sigprocmask is not available: ";
        assert!(line.starts_with(expected), "{errno}: {line}");
    }
}

#[test]
fn single_mode_needs_none_of_them() {
    for call in ["pidfd_open", "execveat"] {
        let mut server = under(call, "ENOSYS").env("PREFORK_WORKERS", "0").start();
        get(server.addr(), "/").expect("an answer");
        assert_eq!(server.stop().code(), Some(0));
    }
}
