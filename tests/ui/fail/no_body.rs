trait Serve {
    #[prefork::main]
    fn serve();
}

fn main() {}
