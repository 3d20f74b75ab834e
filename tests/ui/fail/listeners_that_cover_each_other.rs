#[prefork::main(listen = ["http=0.0.0.0:80", "admin=127.0.0.1:80"])]
fn main() {}

mod text {
    #[prefork::main(listen = "[::1]:80,:80", network = "tcp6")]
    fn main() {}
}
