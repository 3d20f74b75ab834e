#[prefork::main(env_prefix = "myapp")]
fn main() {}

mod other {
    #[prefork::main(env_prefix = "MYAPP_", workers = "auto-0")]
    fn main() {}
}

mod another {
    #[prefork::main(env_prefix = 4, workers = "0%")]
    fn main() {}
}
