#[prefork::main]
fn main(_text: Option<impl Sized>) {}
