//! Invalid certificates, keys and protocols. The message about an inline key does not show it.

#[prefork::main(
    tls_cert = 4,
    tls_key = "-----BEGIN PRIVATE KEY-----",
    tls_alpn = ["h2", 'x'],
    tls_client_ca = "",
)]
fn main() {}

mod others {
    #[prefork::main(
        listen = "https://0.0.0.0:443",
        tls_cert = "cert\0.pem",
        tls_alpn = ["h2", "h2"],
    )]
    fn doubled() {}

    #[prefork::main(tls_alpn = "")]
    fn none() {}

    #[prefork::main(tls_alpn = "h2,")]
    fn empty() {}

    #[prefork::main(tls_alpn = "HTTP/1.1 and others")]
    fn words() {}

    #[prefork::main(tls_alpn = "http2,http/1.1")]
    fn spelling() {}

    #[prefork::main(tls_alpn = true)]
    fn flag() {}

    #[prefork::main(tls_alpn = "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,0,1,2,3,4,5,6")]
    fn many() {}

    #[prefork::main(
        ssl_certfile = "cert.pem",
        ssl_keyfile = "key.pem",
        ssl_version = 2,
        tls = true,
    )]
    fn of_peers() {}

    #[prefork::main(tls_alpn = ["h2", "h3"])]
    fn quic() {}
}
