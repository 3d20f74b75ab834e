//! actix-web, one worker process per CPU with one thread each.
//!
//! ```text
//! cargo run --bin actix
//! curl http://127.0.0.1:8080/   # hello from worker 0
//! ```

use std::future::ready;
use std::io;
use std::net::TcpListener;

use actix_web::{App, HttpServer, web};
use prefork::Worker;

// actix-web accepts on its own thread and with its own types, so it takes the socket itself.
#[prefork::main(listen = "127.0.0.1:8080", shutdown_grace_period = "5s")]
#[actix_web::main]
async fn main(listener: TcpListener, worker: Worker) -> io::Result<()> {
    let hello = format!("hello from worker {}\n", worker.slot());
    HttpServer::new(move || {
        let hello = hello.clone();
        App::new().route("/", web::get().to(move || ready(hello.clone())))
    })
    .workers(1)
    .listen(listener)?
    .shutdown_signal(prefork::shutdown())
    // Less than the grace period, so that the worker exits before the master kills it.
    .shutdown_timeout(4)
    .run()
    .await
}
