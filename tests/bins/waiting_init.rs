//! A body that takes nothing of ours, and ends with a thread that `init` has started, which waits
//! for the stop.

use std::sync::Mutex;
use std::thread::{self, JoinHandle};

use prefork::Role;

static THREAD: Mutex<Option<JoinHandle<()>>> = Mutex::new(None);

#[prefork::main(workers = 1, init = init)]
fn main() {
    println!("body");
    let thread = THREAD.lock().expect("nobody panics").take();
    thread.expect("it was started").join().expect("it waits");
}

fn init(role: Role) {
    if role == Role::Master {
        return;
    }
    let shutdown = prefork::shutdown();
    let thread = thread::spawn(move || {
        shutdown.wait();
        println!("the thread goes");
    });
    *THREAD.lock().expect("nobody panics") = Some(thread);
}
