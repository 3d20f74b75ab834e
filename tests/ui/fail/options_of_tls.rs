//! What certificates, keys and protocols cannot be; a key in the place of its path is not shown.

#[prefork::main(
    tls_cert = 4,
    tls_key = "-----BEGIN PRIVATE KEY-----",
    tls_alpn = ["h2", 'x'],
    tls_client_ca = "",
)]
fn main() {}

mod doubled {
    #[prefork::main(tls_alpn = ["h2", "h2"])]
    fn serve() {}
}
