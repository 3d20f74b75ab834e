//! Tokens from a `macro_rules!` macro work like tokens of the source.

macro_rules! server {
    ($workers:expr, $listen:literal, $name:ident: $ty:ty, $result:ty, $body:block) => {
        #[prefork::main(workers = $workers, listen = $listen)]
        async fn main($name: $ty) -> $result $body
    };
}

server!(0, "127.0.0.1:0", worker: prefork::Worker, std::io::Result<()>, {
    let _worker = worker;
    Ok(())
});
