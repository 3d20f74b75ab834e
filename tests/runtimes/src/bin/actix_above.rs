//! Above prefork's attribute, the runtime's attribute takes a function without arguments.

use std::process::ExitCode;

#[actix_web::main]
#[prefork::main(workers = 0)]
async fn main() -> ExitCode {
    let five = actix_web::rt::spawn(async { 5 }).await;
    ExitCode::from(five.expect("the task does not panic"))
}
