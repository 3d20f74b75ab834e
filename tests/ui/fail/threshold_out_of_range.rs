#[prefork::main(recover_threshold = 1_000_001)]
fn main() {}

mod other {
    #[prefork::main(recover_threshold = -1)]
    fn main() {}
}
