//! Masters inside a program that also does other work. After each master, the program compares its
//! open descriptors and its children with those before.

use std::net::TcpListener;
use std::process::ExitCode;

use prefork::{Handle, Prefork};
use prefork_tests::proc;

fn main() -> ExitCode {
    let cases: [(&str, fn()); 8] = [
        ("a stop", || finish(start(sleeping()))),
        ("a stop per slot", || {
            finish(start(sleeping().reuseport(true)));
        }),
        ("a drop", || drop(start(sleeping()))),
        ("a failing hook", || {
            fail(sleeping().on_child_spawn(|_| Err("no")));
        }),
        ("a panicking hook", || {
            fail(sleeping().on_master_ready(|_| -> Result<(), String> { panic!("no") }));
        }),
        ("a failing producer", || {
            fail(sleeping().child_producer(|_| Err("no")));
        }),
        ("a missing program", || {
            fail(sleeping().child_producer(|child| {
                child.program("/no/such/program");
            }));
        }),
        ("a taken port", taken_port),
    ];
    let mut code = ExitCode::SUCCESS;
    for (case, run) in cases {
        let before = resources();
        run();
        let after = resources();
        if before != after {
            println!("{case} leaves {after:?}, before there was {before:?}");
            code = ExitCode::FAILURE;
        }
    }
    println!("done");
    code
}

/// The children and the open descriptors of this process.
fn resources() -> (Vec<i32>, Vec<String>) {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let fds = proc::fds(own).into_iter();
    let fds = fds.map(|(number, path)| format!("{number} {}", path.display()));
    // The directory of descriptors is open while the process reads it.
    let fds = fds.filter(|fd| !fd.contains("/proc/"));
    (proc::children(own), fds.collect())
}

fn sleeping() -> Prefork {
    Prefork::new()
        .listen(["one=127.0.0.1:0", "two=127.0.0.1:0"])
        .workers(3)
        .child_producer(|child| {
            child.program("/bin/sleep").arg("1000");
        })
}

fn start(prefork: Prefork) -> Handle {
    prefork.start().expect("the master starts")
}

fn finish(master: Handle) {
    master.stop();
    master.wait().expect("the stop succeeds");
}

fn fail(prefork: Prefork) {
    start(prefork).wait().expect_err("the master fails");
}

/// The first listener is bound before the second one fails.
fn taken_port() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = holder.local_addr().expect("an address");
    let mut prefork = sleeping();
    prefork = prefork.listen(["one=127.0.0.1:0".to_owned(), format!("two={taken}")]);
    prefork.start().expect_err("the port is in use");
}
