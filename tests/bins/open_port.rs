//! Options that leave the workers and a port unset, and a `configure` function. `LAST_WORD` selects
//! what this function does.

use std::thread;

use prefork::net::Listener;
use prefork::{Configuration, Worker};

#[prefork::main(
    listen = ["http=127.0.0.1", "admin=127.0.0.1:0"],
    recover_threshold = 5,
    configure = last_word,
)]
fn main(http: Listener, admin: Listener, _worker: Worker) {
    thread::scope(|scope| {
        scope.spawn(|| accept(&admin));
        accept(&http);
    });
}

fn accept(listener: &Listener) {
    while let Some(connection) = listener.blocking_accept() {
        drop(connection);
    }
}

/// With `tell`, each process that runs this function prints one line.
fn last_word(configuration: &mut Configuration) -> Result<(), String> {
    match std::env::var("LAST_WORD").as_deref() {
        Ok("tell") => println!(
            "settings: {} workers, {:?}",
            configuration.get_workers(),
            configuration.get_listen()
        ),
        Ok("one") => {
            configuration.workers(1);
        }
        Ok("listen") => {
            configuration.listen(["http=127.0.0.1:0", "admin=127.0.0.1:0"]);
        }
        Ok("bad") => {
            configuration.workers("some").recover_window("ever");
        }
        Ok("refuse") => return Err("no such flag".to_owned()),
        Ok("panic") => panic!("lost for words"),
        _ => {}
    }
    Ok(())
}
