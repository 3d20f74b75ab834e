#[prefork::main]
fn main() -> u32 {
    4
}

mod other {
    #[prefork::main]
    async fn main() -> u32 {
        4
    }
}
