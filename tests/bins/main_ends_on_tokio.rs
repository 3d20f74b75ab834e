//! Like `main_ends` with `hold`, on the runtime of `#[tokio::main]`. This runtime waits forever for
//! its blocking tasks.

use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use prefork::Worker;
use prefork::net::Listener;
use prefork_tests::server::name_of;
use tokio::sync::mpsc::{Sender, channel};

#[prefork::main(listen = "127.0.0.1:0", workers = 1)]
#[tokio::main(flavor = "current_thread")]
async fn main(listener: Listener, worker: Worker) -> io::Result<()> {
    tokio::task::spawn_blocking(|| {
        loop {
            thread::sleep(Duration::from_hours(1));
        }
    });
    let (sender, mut asked) = channel(1);
    let app = Router::new()
        .route("/", get(async move || name_of(&worker)))
        .route("/end/{how}", get(ask))
        .with_state(Arc::new(sender));
    let serve = axum::serve(listener, app);
    tokio::select! {
        served = async { serve.await } => served,
        how = asked.recv() => match how.as_deref() {
            Some("error") => Err(io::Error::other("lost the database")),
            Some("panic") => panic!("lost the plot"),
            _ => Ok(()),
        },
    }
}

async fn ask(State(sender): State<Arc<Sender<String>>>, Path(how): Path<String>) -> &'static str {
    // A second request is ignored.
    let _ = sender.try_send(how);
    "asked\n"
}
