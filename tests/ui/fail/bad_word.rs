#[prefork::main(network = "udp", recover_window = "ever")]
fn main() {}
