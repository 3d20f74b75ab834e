//! Options that leave the workers and a port unset, and a `configure` function. `CONFIGURE` selects
//! what this function does.

use std::thread;

use prefork::net::Listener;
use prefork::{Configuration, Worker};

#[prefork::main(
    listen = ["http=127.0.0.1", "admin=127.0.0.1:0"],
    recover_threshold = 5,
    configure = configure,
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

/// With `print`, each process that runs this function prints one line.
fn configure(configuration: &mut Configuration) -> Result<(), String> {
    match std::env::var("CONFIGURE").as_deref() {
        Ok("print") => println!(
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
