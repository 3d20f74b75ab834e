#[prefork::main]
fn main(_wish: Option<impl Sized>) {}
