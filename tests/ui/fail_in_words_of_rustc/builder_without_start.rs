#![deny(unused_must_use)]

use prefork::Prefork;

fn main() {
    Prefork::new().listen("0.0.0.0:80").workers(2);
}
