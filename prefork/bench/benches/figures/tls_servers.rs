//! The servers that speak TLS: they are built here, and get a certificate that is made here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::server::{self, Kind, Server};

/// What is needed to start them.
pub(crate) struct TlsServers {
    floor: PathBuf,
    prefork: PathBuf,
    folder: TempDir,
}

impl TlsServers {
    /// Builds them, beside the others, and makes their certificate.
    pub(crate) fn new() -> Self {
        let others = Path::new(env!("CARGO_BIN_EXE_hello"));
        build(others);
        let folder = tempfile::tempdir().expect("files can be made");
        let names = vec!["localhost".to_owned()];
        // ECDSA with P-256, as most certificates are now.
        let pair = rcgen::generate_simple_self_signed(names).expect("a good name");
        let key = pair.signing_key.serialize_pem();
        for (place, text) in [(CERT, pair.cert.pem()), (KEY, key)] {
            fs::write(folder.path().join(place), text).expect("the folder is ours");
        }
        Self {
            floor: others.with_file_name("floor-tls"),
            prefork: others.with_file_name("hello-tls"),
            folder,
        }
    }

    /// Starts one, and waits until every worker is about to serve.
    pub(crate) fn ready(&self, kind: Kind, workers: usize) -> Server {
        let server = Server::run(workers, |addr| {
            let mut command = match kind {
                Kind::Floor | Kind::ThreadedFloor => server::floor(&self.floor, addr, workers),
                Kind::Prefork => server::prefork(&self.prefork, &format!("tls://{addr}"), workers),
            };
            command.env("PREFORK_TLS_CERT", self.folder.path().join(CERT));
            command.env("PREFORK_TLS_KEY", self.folder.path().join(KEY));
            command
        });
        server.hear_all();
        server
    }
}

const CERT: &str = "cert.pem";
const KEY: &str = "key.pem";

/// Not by cargo before the bench: what is built together has its features in common, and those of
/// TLS would change the programs whose memory is measured.
fn build(others: &Path) {
    let target = others.ancestors().nth(2).expect("it is in target/release");
    let mut command = Command::new(env!("CARGO"));
    // What cargo says about this package to those that it runs: build scripts of others look at it,
    // and would have everything built again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    let built = command
        .args(["build", "--release", "-p", "prefork-bench-tls"])
        .args(["--color", "never"])
        .env("CARGO_TARGET_DIR", target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo is what runs this");
    let log = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{log}");
}
