#[prefork::main(listen = ["http=0.0.0.0:80", "admin=0.0.0.0:80"])]
fn main() {}

mod text {
    #[prefork::main(listen = ":80,:81,:80")]
    fn main() {}
}
