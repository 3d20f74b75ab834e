//! actix-web serves on a listener of the master.

use std::net::TcpListener;

use actix_web::{App, HttpServer, web};

#[prefork::main(listen = "127.0.0.1:8080", workers = 2)]
#[actix_web::main]
async fn main(listener: TcpListener) -> std::io::Result<()> {
    HttpServer::new(|| App::new().route("/", web::get().to(async || "hello from actix\n")))
        .workers(1)
        .listen(listener)?
        .run()
        .await
}
