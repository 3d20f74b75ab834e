use prefork::Prefork;

fn main() {
    let prefork = Prefork::new().listen("0.0.0.0:80").workers(2);
    let master = match prefork.start() {
        Ok(master) => master,
        // The functions of the first builder are gone: a second attempt needs another one.
        Err(_) => prefork.listen("0.0.0.0:8080").start().expect("the port is free"),
    };
    master.wait().expect("a requested stop is not an error");
}
