//! Certificates for one test, and a TLS client. The test decides when the client does the
//! handshake, sends the request and reads the answer.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

use crate::client;

/// A certificate authority that a test creates and trusts.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, as PEM.
pub struct Pair {
    /// The certificate alone.
    pub cert: String,
    /// PKCS #8.
    pub key: String,
}

impl Authority {
    /// Creates an authority with this name.
    ///
    /// # Panics
    /// The system provides no random bytes.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().expect("random bytes");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a matching key");
        Self { issuer }
    }

    /// The certificate of the authority, as PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Issues a certificate for `localhost`.
    pub fn issue(&self) -> Pair {
        self.issue_with(|_| {})
    }

    /// Issues a certificate for `localhost` with changed parameters.
    ///
    /// # Panics
    /// The changed parameters cannot be signed.
    pub fn issue_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let names = vec!["localhost".to_owned()];
        let mut params = CertificateParams::new(names).expect("a valid name");
        change(&mut params);
        let key = KeyPair::generate().expect("random bytes");
        let cert = params.signed_by(&key, &self.issuer).expect("a signature");
        Pair {
            cert: cert.pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Pair {
    /// Writes both into a folder, replacing existing files. Returns their paths.
    ///
    /// # Panics
    /// The folder cannot be written to.
    pub fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        let paths = (folder.join("cert.pem"), folder.join("key.pem"));
        for (path, text) in [(&paths.0, &self.cert), (&paths.1, &self.key)] {
            // A rename is atomic: a concurrent reader gets the old file or the new one.
            let new = path.with_extension("new");
            std::fs::write(&new, text).expect("a writable folder");
            std::fs::rename(&new, path).expect("a writable folder");
        }
        paths
    }

    /// The bytes of the certificate, as a client gets them.
    ///
    /// # Panics
    /// The text is not a certificate.
    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.cert.as_bytes()).expect("a certificate")
    }
}

/// The bytes of a certificate.
///
/// # Panics
/// The text is not a certificate.
pub fn der(pem: &str) -> Vec<u8> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes());
    der.expect("a certificate").to_vec()
}

/// A client that trusts an authority. It keeps sessions for later connections.
#[derive(Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
}

/// A connection. If [`Client::connect`] returned it, its handshake is done.
pub type Connection = StreamOwned<ClientConnection, TcpStream>;

impl Client {
    /// Creates a client that offers these protocols and shows no certificate.
    pub fn new(trusted: &Authority, protocols: &[&str]) -> Self {
        Self::with(trusted, protocols, None)
    }

    /// Creates a client that shows this certificate, if any.
    ///
    /// # Panics
    /// The client's key does not match its certificate.
    pub fn with(trusted: &Authority, protocols: &[&str], own: Option<&Pair>) -> Self {
        Self::trusting(&trusted.pem(), protocols, own)
    }

    /// Creates a client that trusts this certificate, given as PEM.
    ///
    /// # Panics
    /// The text is not a certificate, or the client's key does not match its certificate.
    pub fn trusting(trusted: &str, protocols: &[&str], own: Option<&Pair>) -> Self {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(trusted.as_bytes()).expect("a certificate");
        roots.add(root).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("supported versions")
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
                let chain = vec![pair.der()];
                builder.with_client_auth_cert(chain, key).expect("a match")
            }
        };
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        Self {
            config: Arc::new(config),
        }
    }

    /// Connects and does the handshake.
    ///
    /// # Errors
    /// No process listens at the address, or one side rejects the other.
    pub fn connect(&self, addr: SocketAddr) -> io::Result<Connection> {
        let mut stream = self.open(addr)?;
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    /// Connects and sends nothing. The first write or read does the handshake.
    ///
    /// # Errors
    /// No process listens at the address.
    ///
    /// # Panics
    /// Never: the name is valid.
    pub fn open(&self, addr: SocketAddr) -> io::Result<Connection> {
        let stream = client::connect(addr)?;
        let name = ServerName::try_from("localhost").expect("a valid name");
        let connection = ClientConnection::new(Arc::clone(&self.config), name);
        Ok(StreamOwned::new(
            connection.map_err(io::Error::other)?,
            stream,
        ))
    }

    /// Sends a request and waits for the body of the answer.
    ///
    /// The client keeps the tickets that arrive before the body.
    ///
    /// # Errors
    /// The errors of [`connect`](Self::connect) and [`answer`].
    pub fn get(&self, addr: SocketAddr, path: &str) -> io::Result<String> {
        answer(ask(self.connect(addr)?, path)?).map(|(body, _)| body)
    }
}

/// Sends the first message of the handshake and does not wait for an answer.
///
/// # Errors
/// The connection is closed.
pub fn send_hello(connection: &mut Connection) -> io::Result<()> {
    while connection.conn.wants_write() {
        connection.conn.write_tls(&mut connection.sock)?;
    }
    Ok(())
}

/// Sends the first message of the handshake and reads those of the server.
///
/// The client does not send its last message yet.
///
/// # Errors
/// The connection is closed, or the server waits for another message first.
pub fn exchange_hellos(connection: &mut Connection) -> io::Result<()> {
    send_hello(connection)?;
    while connection.conn.is_handshaking() {
        if connection.conn.read_tls(&mut connection.sock)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let processed = connection.conn.process_new_packets();
        processed.map_err(io::Error::other)?;
    }
    Ok(())
}

/// Sends an HTTP/1.1 request.
///
/// # Errors
/// The connection is closed.
pub fn ask(mut connection: Connection, path: &str) -> io::Result<Connection> {
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    connection.write_all(head.as_bytes())?;
    connection.flush()?;
    Ok(connection)
}

/// Reads the answer. Returns its body and the kind of the handshake.
///
/// # Errors
/// The connection is closed, or the answer is malformed, incomplete or not 200.
pub fn answer(mut connection: Connection) -> io::Result<(String, Option<HandshakeKind>)> {
    let mut text = String::new();
    connection.read_to_string(&mut text)?;
    let body = text
        .strip_prefix("HTTP/1.1 200 ")
        .and_then(|rest| rest.split_once("\r\n\r\n"))
        .map(|(_, body)| body.to_owned());
    let body = body.filter(|body| body.ends_with('\n'));
    let body = body.ok_or_else(|| io::Error::other(format!("not an answer: {text:?}")))?;
    Ok((body, connection.conn.handshake_kind()))
}
