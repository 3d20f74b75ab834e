#[prefork::main(listen = [
    ":80?",
    ":80?backlog",
    ":80?backlog=many",
    ":80?backlog=1&backlog=1",
    ":80?back_log=1",
    ":80?color=red",
    ":80?nodelay=yes",
    "udp://:80?backlog=1",
    "tcp4://:80?v6only=true",
    "tcp6://:80?v6only=false",
    "unix:/run/app.sock?nodelay=true",
    ":80?mode=0660",
    "unix:/run/app.sock?mode=rw",
    "unix:/run/app.sock?owner=",
])]
fn main() {}
