//! A builder that gets certificates as bytes. Only the master reads them, from the folder `PAIR`.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use prefork::net::TlsStream;
use prefork::{Prefork, Transport, Worker};
use tokio::io::AsyncWriteExt;

fn main() -> ExitCode {
    let mut prefork = Prefork::new().handle_signals();
    if !prefork::is_child() {
        let folder = PathBuf::from(std::env::var_os("PAIR").expect("the test sets `PAIR`"));
        let read = |name| std::fs::read(folder.join(name)).expect("the test wrote the file");
        prefork = prefork
            .listen([
                "http=127.0.0.1:0",
                "https=tls://127.0.0.1:0",
                "other=tls://127.0.0.1:0",
            ])
            .tls_cert(read("cert.pem"))
            .tls_key(read("key.pem"))
            .tls_client_ca(read("ca.pem"))
            .tls_alpn(["h2", "http/1.1"]);
        std::fs::remove_dir_all(folder).expect("the folder can be removed");
    }
    prefork::report(prefork.run(serve))
}

async fn serve(worker: Worker) -> io::Result<()> {
    let transport = |name| {
        worker
            .listener_info(name)
            .expect("the listener exists")
            .transport()
    };
    assert_eq!(transport("http"), Transport::Stream);
    assert_eq!(transport("https"), Transport::Tls);
    let listener = worker.tls_listener("https")?;
    let refusal = worker.listener("other").map(drop);
    let refusal = refusal.expect_err("a listener without TLS").to_string();
    worker.tls_config().expect("certificates are set");
    let by_hand = worker.listener("other");
    drop(by_hand.expect("the body can do the handshakes"));
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer(stream, refusal.clone()));
    }
}

async fn answer(mut stream: TlsStream, refusal: String) -> io::Result<()> {
    let protocol = String::from_utf8_lossy(stream.alpn_protocol().unwrap_or_default());
    let certificates = stream.peer_certificates().map_or(0, <[_]>::len);
    let text = format!("{protocol}, {certificates} of the client\n{refusal}\n");
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}
