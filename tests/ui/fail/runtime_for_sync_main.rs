#[prefork::main(runtime = block_on)]
fn main() {}

fn block_on<T>(_future: impl Future<Output = T>) -> T {
    std::process::abort()
}
