#[prefork::main(listen = [
    "localhost",
    "127.0.0.1:65536",
    "::1:80",
    "http://127.0.0.1:80",
    "HTTP=127.0.0.1:80",
    "127.0.0.1:80,127.0.0.1:81",
    "/run/app.sock",
    "",
    "=127.0.0.1:80",
    "127.0.0.1:",
    "127.0.0.1:http",
    "127.0.0.256:80",
    "-:80",
    "[::1:80",
    "[localhost]:80",
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn=:80",
])]
fn main() {}
