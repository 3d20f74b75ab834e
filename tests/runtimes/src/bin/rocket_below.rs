//! Rocket's runtime runs a body with an argument.

use std::process::ExitCode;

use rocket::tokio;

#[prefork::main(workers = 0)]
#[rocket::main]
async fn main(worker: prefork::Worker) -> ExitCode {
    let five =
        tokio::spawn(async move { 5 + u8::try_from(worker.slot()).expect("a small slot") }).await;
    ExitCode::from(five.expect("the task does not panic"))
}
