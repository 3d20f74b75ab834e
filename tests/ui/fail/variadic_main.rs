#[prefork::main]
fn main(_wish: u8, _: ...) {}
