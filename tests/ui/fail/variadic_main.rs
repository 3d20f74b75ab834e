#[prefork::main]
fn main(_text: u8, _: ...) {}
