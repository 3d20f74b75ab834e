use prefork::main as serve;

#[prefork::main]
#[serve]
fn main() {}

#[serve(workers = 4)]
#[tokio::main]
#[serve]
async fn other() {}
