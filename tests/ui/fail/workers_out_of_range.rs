#[prefork::main(workers = 10001)]
fn main() {}

mod other {
    #[prefork::main(workers = "many")]
    fn main() {}
}
