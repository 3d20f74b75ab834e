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

mod numbered {
    #[prefork::main(env_prefix = "2APP", recover_threshold = "often", v6only = "yes", reuseport = 0)]
    fn main() {}
}

mod long {
    #[prefork::main(env_prefix = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    async fn main() {}
}
