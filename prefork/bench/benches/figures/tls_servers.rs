//! The TLS servers. This module builds them and generates their certificate.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::server::{self, Kind, Server};

/// The programs of the TLS servers, and their certificate.
pub(crate) struct TlsServers {
    baseline: PathBuf,
    prefork: PathBuf,
    folder: TempDir,
}

impl TlsServers {
    /// Builds the servers into the directory of the other servers, and generates the certificate.
    pub(crate) fn new() -> Self {
        let others = Path::new(env!("CARGO_BIN_EXE_hello"));
        build(others);
        let folder = tempfile::tempdir().expect("a temporary directory can be created");
        let names = vec!["localhost".to_owned()];
        // ECDSA with P-256, as most certificates have today.
        let pair =
            rcgen::generate_simple_self_signed(names).expect("'localhost' is a valid DNS name");
        let key = pair.signing_key.serialize_pem();
        for (name, text) in [(CERT, pair.cert.pem()), (KEY, key)] {
            fs::write(folder.path().join(name), text).expect("the temporary directory is writable");
        }
        Self {
            baseline: others.with_file_name("baseline-tls"),
            prefork: others.with_file_name("hello-tls"),
            folder,
        }
    }

    /// Starts a server, and waits until every worker has reported.
    pub(crate) fn ready(&self, kind: Kind, workers: usize) -> Server {
        let server = Server::run(workers, |addr| {
            let mut command = match kind {
                Kind::Baseline | Kind::ThreadedBaseline => {
                    server::baseline(&self.baseline, addr, workers)
                }
                Kind::Prefork | Kind::Standby => {
                    server::prefork(&self.prefork, &format!("tls://{addr}"), workers)
                }
            };
            command.env("PREFORK_TLS_CERT", self.folder.path().join(CERT));
            command.env("PREFORK_TLS_KEY", self.folder.path().join(KEY));
            command
        });
        server.wait_for_reports();
        server
    }
}

const CERT: &str = "cert.pem";
const KEY: &str = "key.pem";

/// Builds the TLS servers with a separate call of cargo.
///
/// Cargo unifies the features of packages that it builds together. In one build, the features for
/// TLS would change the programs whose memory is measured.
fn build(others: &Path) {
    let target = others
        .ancestors()
        .nth(2)
        .expect("the program is in target/release");
    let mut command = Command::new(env!("CARGO"));
    // Cargo sets these variables about this package for the programs that it runs. Build scripts of
    // other packages read them, and cargo would build everything again.
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
        .expect("cargo runs this bench");
    let log = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{log}");
}
