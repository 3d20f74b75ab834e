#[prefork::main(shutdown_grace_period = 5s)]
fn main() {}

mod other {
    #[prefork::main(shutdown_grace_period = 5)]
    fn main() {}
}
