//! Shared by the tests of this folder: a program with a certificate, and functions of its clients.

use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;

use prefork_testkit::{ChildInfo, RunningServer, Server};
use prefork_tests::tls::{Authority, Client, Connection, answer, ask};
use rustls::HandshakeKind;
use tempfile::TempDir;

/// Serves `/` and `/slow` over TLS only.
pub(crate) const TLS: &str = env!("CARGO_BIN_EXE_tls");

/// Does the handshakes itself.
pub(crate) const BY_HAND: &str = env!("CARGO_BIN_EXE_tls_by_hand");

/// A program with a certificate in a folder.
pub(crate) struct Secure {
    pub(crate) authority: Authority,
    folder: TempDir,
}

impl Secure {
    pub(crate) fn new() -> Self {
        let this = Self {
            authority: Authority::new("the test's"),
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        this.authority.issue().write(this.folder.path());
        this
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn server(&self, program: &str, workers: &str) -> Server {
        Server::new(program)
            .listen("tls://127.0.0.1:0")
            .env("PREFORK_TLS_CERT", self.path().join("cert.pem"))
            .env("PREFORK_TLS_KEY", self.path().join("key.pem"))
            .env("PREFORK_WORKERS", workers)
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.authority, &[])
    }
}

/// Kills the worker in this slot; returns its replacement.
pub(crate) fn replace(server: &RunningServer, slot: usize) -> ChildInfo {
    let killed = server.kill_child(slot);
    server.wait_for_replacement(killed)
}

/// All text that the server sends on a connection, and the certificate that it shows.
pub(crate) fn read_all(mut connection: Connection) -> (String, Vec<u8>) {
    let mut text = String::new();
    connection.read_to_string(&mut text).expect("an answer");
    let chain = connection.conn.peer_certificates().expect("a certificate");
    (text, chain[0].to_vec())
}

pub(crate) fn visit(client: &Client, addr: SocketAddr) -> (String, Option<HandshakeKind>) {
    let connection = client.connect(addr).expect("a handshake");
    answer(ask(connection, "/").expect("the server reads")).expect("an answer")
}

/// The certificate that a server shows.
pub(crate) fn shown(secure: &Secure, server: &RunningServer) -> Vec<u8> {
    let connection = secure.client().connect(server.addr()).expect("a handshake");
    let chain = connection.conn.peer_certificates().expect("a certificate");
    chain[0].to_vec()
}
