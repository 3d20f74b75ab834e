#[prefork::main(runtime = block_on)]
async fn main() {}

fn block_on(_count: u32) {}
