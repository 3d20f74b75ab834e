struct Server;

impl Server {
    #[prefork::main]
    fn run(&self) {}
}

fn main() {}
