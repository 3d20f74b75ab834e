#[prefork::main(workers = 4)]
#[tokio::main]
async fn main() -> std::io::Result<()> {
    let _count: u32 = "four";
}
