//! Certificates made for one test, and a client that speaks TLS by hand, so that a test decides
//! when the handshake, the request and the reading happen.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

use crate::client;

/// An authority that a test makes and trusts.
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
    /// A new one, by its name.
    ///
    /// # Panics
    /// The system gives no random bytes.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names, no mistake");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().expect("random bytes");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a key that fits");
        Self { issuer }
    }

    /// Its own certificate, as PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for `localhost`.
    pub fn issue(&self) -> Pair {
        self.issue_with(|_| {})
    }

    /// A certificate for `localhost` that is different in something.
    ///
    /// # Panics
    /// It was made impossible to sign.
    pub fn issue_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let names = vec!["localhost".to_owned()];
        let mut params = CertificateParams::new(names).expect("a good name");
        change(&mut params);
        let key = KeyPair::generate().expect("random bytes");
        let cert = params.signed_by(&key, &self.issuer).expect("it is ours");
        Pair {
            cert: cert.pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Pair {
    /// Writes both into a folder, in the place of others that may be there; where they are.
    ///
    /// # Panics
    /// The folder cannot be written to.
    pub fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        let places = (folder.join("cert.pem"), folder.join("key.pem"));
        for (place, text) in [(&places.0, &self.cert), (&places.1, &self.key)] {
            // As it should be done: whoever reads meanwhile reads one or the other.
            let new = place.with_extension("new");
            std::fs::write(&new, text).expect("the folder is ours");
            std::fs::rename(&new, place).expect("the folder is ours");
        }
        places
    }

    /// The certificate's bytes, as a client sees them.
    ///
    /// # Panics
    /// It is none.
    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.cert.as_bytes()).expect("it is a certificate")
    }
}

/// The bytes of a certificate.
///
/// # Panics
/// The text is none.
pub fn der(pem: &str) -> Vec<u8> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes());
    der.expect("it is a certificate").to_vec()
}

/// A client that trusts an authority; sessions are kept from one connection to the next.
#[derive(Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
}

/// A connection, by [`Client::connect`] with its handshake done.
pub type Connection = StreamOwned<ClientConnection, TcpStream>;

impl Client {
    /// Without a certificate of its own, offering these protocols.
    pub fn new(trusted: &Authority, protocols: &[&str]) -> Self {
        Self::with(trusted, protocols, None)
    }

    /// One that shows a certificate.
    ///
    /// # Panics
    /// Its key is of another certificate.
    pub fn with(trusted: &Authority, protocols: &[&str], own: Option<&Pair>) -> Self {
        Self::trusting(&trusted.pem(), protocols, own)
    }

    /// One that trusts a certificate, as PEM.
    ///
    /// # Panics
    /// It is none, or the client's own key is of another certificate.
    pub fn trusting(trusted: &str, protocols: &[&str], own: Option<&Pair>) -> Self {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(trusted.as_bytes()).expect("a certificate");
        roots.add(root).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
                let chain = vec![pair.der()];
                builder.with_client_auth_cert(chain, key).expect("they fit")
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
    /// Nobody listens, or one of the two does not like the other.
    pub fn connect(&self, addr: SocketAddr) -> io::Result<Connection> {
        let mut stream = self.open(addr)?;
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    /// Connects and says nothing; the handshake is done by whatever is written or read first.
    ///
    /// # Errors
    /// Nobody listens.
    ///
    /// # Panics
    /// Never: the name is a good one.
    pub fn open(&self, addr: SocketAddr) -> io::Result<Connection> {
        let stream = client::connect(addr)?;
        let name = ServerName::try_from("localhost").expect("a good name");
        let connection = ClientConnection::new(Arc::clone(&self.config), name);
        Ok(StreamOwned::new(
            connection.map_err(io::Error::other)?,
            stream,
        ))
    }

    /// Asks and waits for the answer's body; tickets that came before it are kept.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect), or the answer is none.
    pub fn get(&self, addr: SocketAddr, path: &str) -> io::Result<String> {
        answer(ask(self.connect(addr)?, path)?).map(|(body, _)| body)
    }
}

/// Says the first word of the handshake, and waits for no answer.
///
/// # Errors
/// The connection is gone.
pub fn greet(connection: &mut Connection) -> io::Result<()> {
    while connection.conn.wants_write() {
        connection.conn.write_tls(&mut connection.sock)?;
    }
    Ok(())
}

/// Says the first word and hears the server's; what ends the handshake is not said yet.
///
/// # Errors
/// The connection is gone, or the server wants to hear more before.
pub fn greet_and_hear(connection: &mut Connection) -> io::Result<()> {
    greet(connection)?;
    while connection.conn.is_handshaking() {
        if connection.conn.read_tls(&mut connection.sock)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let heard = connection.conn.process_new_packets();
        heard.map_err(io::Error::other)?;
    }
    Ok(())
}

/// Sends a request of HTTP/1.1.
///
/// # Errors
/// The connection is gone.
pub fn ask(mut connection: Connection, path: &str) -> io::Result<Connection> {
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    connection.write_all(head.as_bytes())?;
    connection.flush()?;
    Ok(connection)
}

/// Reads the answer: its body, and how the handshake was made.
///
/// # Errors
/// The connection is gone, or the answer is incomplete or is not 200.
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
