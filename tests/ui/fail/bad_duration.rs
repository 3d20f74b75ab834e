#[prefork::main(shutdown_grace_period = "5")]
fn main() {}

mod other {
    #[prefork::main(shutdown_grace_period = "5 minutes")]
    fn main() {}
}

mod third {
    #[prefork::main(shutdown_grace_period = "25h")]
    fn main() {}
}

mod fourth {
    #[prefork::main(recover_interval = "s", healthy_after = "1s1m")]
    fn main() {}
}
