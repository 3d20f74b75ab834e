//! A TLS client that uses little processor time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, HandshakeKind, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A client without session resumption: each handshake is a full one.
#[derive(Clone)]
pub(crate) struct TlsClient {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl TlsClient {
    pub(crate) fn new() -> Self {
        let provider = Arc::new(ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring supports the default versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AcceptAll))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Self {
            connector: Arc::new(config).into(),
            name: ServerName::try_from("localhost").expect("'localhost' is a valid DNS name"),
        }
    }

    /// Connects, sends a request and reads the whole response into `buffer`.
    pub(crate) async fn ask(&self, addr: SocketAddr, buffer: &mut Vec<u8>) -> io::Result<()> {
        let stream = TcpStream::connect(addr).await?;
        let mut stream = self.connector.connect(self.name.clone(), stream).await?;
        let request = b"GET / HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await?;
        buffer.clear();
        stream.read_to_end(buffer).await?;
        let is_full = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Full);
        if is_full && buffer.starts_with(b"HTTP/1.1 200") {
            return Ok(());
        }
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Accepts every certificate.
///
/// A check costs the client as much processor time as a handshake costs the server. With it, the
/// figure would measure the client.
#[derive(Debug)]
struct AcceptAll;

impl ServerCertVerifier for AcceptAll {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
