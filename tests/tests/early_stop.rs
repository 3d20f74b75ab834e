//! A stop that is requested while the master waits for an address.

use prefork_testkit::{Server, Signal, eventually};
use prefork_tests::proc;

const HELLO: &str = env!("CARGO_BIN_EXE_hello");

/// How often the test tries. Under load it may miss the second in which the master retries to bind.
const ATTEMPTS: usize = 10;

#[test]
fn a_stop_ends_the_wait_for_a_port_that_is_in_use() {
    let owner = Server::new(HELLO).start();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let is_stopped = (0..ATTEMPTS).any(|_| {
            let mut late = Server::new(HELLO).listen(owner.addr().to_string()).spawn();
            let pid = late.master_pid();
            let is_waiting = eventually("the wait, or its end", || {
                let is_waiting = proc::has_thread(pid, "prefork-bind");
                (is_waiting || !proc::is_alive(pid)).then_some(is_waiting)
            });
            late.signal(signal);
            let status = late.wait();
            let log = late.final_log();
            let stopped = format!(
                "prefork: {signal} from pid {}: stopped before the addresses were bound",
                std::process::id()
            );
            is_waiting && status.code() == Some(0) && log == [stopped]
        });
        assert!(is_stopped, "{signal}");
    }
}
