use prefork::{Prefork, Worker};

fn main() -> Result<(), prefork::Error> {
    let prefork = Prefork::new();
    prefork.workers(2);
    prefork.listen("0.0.0.0:80");
    prefork.run(|_: Worker| {}).map(drop)
}
