//! A body without arguments that ends when a thread ends. `init` starts this thread, which waits
//! for the stop.

use std::sync::Mutex;
use std::thread::{self, JoinHandle};

use prefork::Role;

static THREAD: Mutex<Option<JoinHandle<()>>> = Mutex::new(None);

#[prefork::main(workers = 1, init = init)]
fn main() {
    println!("body");
    let thread = THREAD.lock().expect("no thread panics").take();
    thread.expect("`init` ran").join().expect("no panic");
}

fn init(role: Role) {
    if role == Role::Master {
        return;
    }
    let shutdown = prefork::shutdown();
    let thread = thread::spawn(move || {
        shutdown.blocking_wait();
        println!("the thread goes");
    });
    *THREAD.lock().expect("no thread panics") = Some(thread);
}
