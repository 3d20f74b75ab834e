#[prefork::main(listen = [
    "[fe80::1]:80",
    "http=tls://[fe80::1]",
    "[fe80::1%]:80",
    "[fe80::1%0]:80",
    "[::1%lo]:80",
    "[ff02::1%eth0]:80",
])]
fn main() {}
