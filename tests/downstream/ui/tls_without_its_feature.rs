#[prefork::main(listen = "tls://127.0.0.1:0", tls_cert = "cert.pem", tls_key = "key.pem")]
fn main() {}
