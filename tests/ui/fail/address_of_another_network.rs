#[prefork::main(listen = ["http=[::1]:80", "127.0.0.1:80"], network = "tcp4")]
fn main() {}

mod other {
    #[prefork::main(network = ("tcp6"), listen = "127.0.0.1:80")]
    fn main() {}
}

mod mapped {
    #[prefork::main(network = "tcp6", listen = "[::ffff:127.0.0.1]:80")]
    fn main() {}
}
