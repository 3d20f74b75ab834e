use prefork::net::{Listener, TlsListener};
use prefork::{FromWorkerError, Worker};

#[prefork::main(listen = ["http=:80", "admin=:81"])]
fn main(_htpp: Listener, _admin: Listener) {}

mod no_name_is_near {
    use super::*;

    #[prefork::main(listen = "web=:80,admin=:81")]
    async fn main(worker: Worker, http: Listener) {
        drop((worker, http));
    }
}

mod not_enough {
    use super::*;

    #[prefork::main(listen = ["https=tls://:443"], tls_cert = "cert.pem", tls_key = "key.pem")]
    fn main(_https: TlsListener, _redirect: Result<std::net::TcpListener, FromWorkerError>) {}

    #[prefork::main(listen = ["http=:80", ":81"])]
    fn other(_first: Listener, _http: Listener, _second: Listener) {}
}

mod patterns {
    use super::*;

    #[prefork::main(listen = "http=:80")]
    fn main(_: Listener) {}

    #[prefork::main(listen = ":80")]
    fn other(_: Listener, _: Listener) {}
}

mod too_many {
    use super::*;

    #[prefork::main(listen = [
        "http=:80",
        "admin=:81",
    ])]
    fn main(_http: Listener) {}

    #[prefork::main(listen = "http=:80,:81")]
    fn other(_http: Listener) {}
}

mod what_may_fit {
    use super::*;

    const ADMIN: &str = "admin=:81";

    #[prefork::main(listen = ["http=:80", ADMIN])]
    fn expression(_http: Listener, _admin: Listener) {}

    #[prefork::main(listen = ["http=:80", "admin=:81"], configure = |_configuration| {})]
    fn configured(_web: Listener) {}
}
