#[prefork::main(listen = ["http=:80", "http=:81"])]
fn main() {}

mod other {
    #[prefork::main(listen = [":80", "listener0=:81"])]
    fn main() {}
}
