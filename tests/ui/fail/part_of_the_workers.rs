#[prefork::main(rollout_parallel = "0%")]
fn main() {}

mod above_all {
    #[prefork::main(rollout_parallel = "150%")]
    fn main() {}
}

mod none {
    #[prefork::main(rollout_parallel = 0)]
    fn main() {}
}

mod no_number {
    #[prefork::main(rollout_parallel = "x")]
    fn main() {}
}

mod space {
    #[prefork::main(rollout_parallel = "25 %")]
    fn main() {}
}
